//go:build !linux

package main

import "fmt"

func main() { fmt.Println("skipped: network namespaces and TUN links are Linux's") }
