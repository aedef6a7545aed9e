// Command compare measures Serval side by side with what else does its work, on
// this machine and in one run: a bare net/http server (the floor), Tomcat 10.1
// with its session managers, and net/http with sessions in Redis. Every system
// serves the same application and gets the same load; what is compared is the
// CPU time of all its processes per request and the bytes between its nodes,
// for those are stable on a noisy machine, where times are not.
//
//	go run ./bench/compare                     everything, about two hours and a half
//	go run ./bench/compare -quick              one short round, about 40 minutes
//	go run ./bench/compare -systems repl-all,tomcat-async -cells count
//	go run ./bench/compare -list               what there is
//	go run ./bench/compare -add -systems tomcat -rounds 1   a round more of one system
//
// It needs ../shared (the load generator, the application in Java, the scripts of
// the peers) and, for what is not to be missing from the table: Debian's tomcat10
// with a JDK, redis-server, and root with nft for the bytes between nodes. What is
// missing is said in the table.
//
// Only one system runs at a time, since two clusters would share two cores; the
// rounds are interleaved instead: each round starts each system, warms it up, and
// measures its cells, and the table shows the median of the rounds with the lowest
// and the highest. While cells are measured, processes of the lowest priority keep
// the CPUs from halting (rig.Awake says why); -halt leaves that out. Results go to -out as compare.json, compare.md and SVG plots.
package main
