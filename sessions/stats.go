package sessions

import "time"

// Stats are the numbers of a Manager since it was made, as Tomcat's and JBoss's
// managers show them.
type Stats struct {
	Active    int // in memory now
	MaxActive int // the most that were in memory at a time
	Passive   int // in the store now, passivated by this manager

	Created    int64 // made by Create
	Expired    int64 // ended by idleness
	Ended      int64 // invalidated or ended by undeployment
	Rejected   int64 // refused because of MaxActive
	Passivated int64 // moved to the store
	Activated  int64 // moved back
	Unpacked   int64 // moved from packed memory to a Go object

	MaxAlive     time.Duration // the longest life of an ended session
	AverageAlive time.Duration // of all ended sessions
	CreateRate   float64       // sessions a minute, over the last 100
	ExpireRate   float64       // sessions a minute, over the last 100
}
