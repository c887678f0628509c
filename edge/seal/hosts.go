package seal

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"sward/policy"
)

const (
	maxHostsRead  = 1 << 20 // bytes of a hosts file: lists against advertising are long, and the first megabyte will do
	maxHostsNames = 16      // names tried of it
)

// hostsFile are attacks by names that this machine's hosts file leads home (A34). Names that it sends to public addresses
// are the owner's affair, and trying one would call a stranger.
func hostsFile(path string, gate policy.Gate) []attack {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil // no file, no trap
	}
	defer f.Close()
	var all []attack
	lines := bufio.NewScanner(io.LimitReader(f, maxHostsRead))
	for lines.Scan() && len(all) < maxHostsNames {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil || gate.Check(a.Unmap()) == nil {
			continue
		}
		for _, name := range fields[1:] {
			if len(all) < maxHostsNames && !slices.ContainsFunc(all, func(b attack) bool { return b.host == name }) {
				all = append(all, attack{id: "A34", what: "a name in this computer's hosts file", host: name, port: webPorts[0], system: true})
			}
		}
	}
	return all
}
