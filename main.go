// Command serval is a web server that runs Go application bundles the way a
// servlet container runs web applications.
package main

func main() {}
