// Command empty does nothing: how long a Go program takes to start and end is what helpers are measured by.
package main

func main() {}
