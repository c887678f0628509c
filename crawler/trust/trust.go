// Package trust decides whom to believe about a page: the edge that brought it, or those who fetched it again.
//
// An edge fetches at home, where nobody watches it, and signs what it says it got. A signature binds it to its word and
// does not make it true. So a sample of pages is fetched again by another road, and here the readings are compared: a
// page is read as words (reading.go), what differs between two readers of the site's own word may differ for the edge as
// well (judge.go over diff.go), and what remains counts against it. An edge's name is what has come of that so far
// (standing.go): it sets how many of its pages are checked, how often it is asked for more, and when it is asked no more.
//
// Everything here is a pure function. Who fetches a second time, and where standings are kept, is the crawler's.
package trust
