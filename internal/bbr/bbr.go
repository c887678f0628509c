// Package bbr decides how fast a tunnel sends: at the rate that the path delivers, whatever it loses on the way, and with
// a bound on the queue that this builds in front of a home's line.
package bbr
