// Package homelab builds homes on a street, for tests of what a home router does to a connection.
//
// A street is an isolated network that looks public; a house on it has a router, which translates addresses by nftables as
// home routers do, and a computer behind it. The router's port mapping daemon is Debian's miniupnpd, the program that most
// home routers run. A house may stand on the street, behind another box of its owner's, or behind a carrier's NAT.
//
//	lab := homelab.New(t, homelab.Home{}, homelab.Home{NAT: homelab.Symmetric})
//	lab.Houses[0].Router.StartIGD(homelab.IGD{})
//	a := homelab.Start(t, lab.Houses[0].Computer, "mapper", "4433") // a role of the test program, see Main
//
// Code under test starts goroutines, and a goroutine may run on any thread, in any namespace. So it runs as an actor: the
// test program once more, as a process of its own inside the namespace, in one of the roles that TestMain lists. Sockets
// for what stands in the street can be opened from the test itself, through the Space.
//
// It needs Linux, root, iproute2 and nftables, and miniupnpd for StartIGD; a test is skipped where one is missing. Nothing
// leaves: no namespace has an uplink, and all of them end with the test program, however it ends.
package homelab
