// Package geo tells where an address is and what kind of line it is, from databases in MaxMind's format.
package geo
