//go:build !windows

package edge

// hostsPath is where names stand that never meet a DNS server.
const hostsPath = "/etc/hosts"
