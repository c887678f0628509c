package geo

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
)

// mmdb writes a database in MaxMind's format, version 2.0, small enough for 24-bit records: what the tests need of
// https://maxmind.github.io/MaxMind-DB/.
func mmdb(version int, records map[string]any) []byte {
	const empty = -1
	type node [2]int // below another node, at ^data, or empty
	nodes := []node{{empty, empty}}
	var data []byte
	offsets := map[int]int{} // of the leaf with this number
	for _, prefix := range slices.Sorted(maps.Keys(records)) {
		p := netip.MustParsePrefix(prefix)
		bits, raw := p.Bits(), p.Addr().AsSlice()
		if version == 6 && p.Addr().Is4() { // under ::/96
			raw, bits = append(make([]byte, 12), raw...), bits+96
		}
		leaf := len(offsets)
		offsets[leaf] = len(data)
		data = encode(data, records[prefix])
		at := 0
		for i := range bits {
			bit := int(raw[i/8]>>(7-i%8)) & 1
			if i == bits-1 {
				nodes[at][bit] = -2 - leaf
				break
			}
			if nodes[at][bit] < 0 {
				nodes = append(nodes, node{empty, empty})
				nodes[at][bit] = len(nodes) - 1
			}
			at = nodes[at][bit]
		}
	}
	var file []byte
	for _, n := range nodes {
		for _, side := range n {
			value := side
			switch {
			case side == empty:
				value = len(nodes)
			case side < empty:
				value = len(nodes) + 16 + offsets[-2-side]
			}
			file = append(file, byte(value>>16), byte(value>>8), byte(value))
		}
	}
	file = append(file, make([]byte, 16)...)
	file = append(file, data...)
	file = append(file, "\xab\xcd\xefMaxMind.com"...)
	return encode(file, map[string]any{
		"node_count": uint32(len(nodes)), "record_size": uint16(24), "ip_version": uint16(version),
		"database_type": "Test", "binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0),
		"build_epoch": uint32(1), "languages": []any{"en"}, "description": map[string]any{"en": "test"},
	})
}

func encode(b []byte, v any) []byte {
	head := func(kind, size int) []byte {
		first, more := size, []byte(nil)
		if size >= 29 {
			first, more = 29, []byte{byte(size - 29)}
		}
		if kind > 7 {
			return append(append(b, byte(first), byte(kind-7)), more...)
		}
		return append(append(b, byte(kind<<5|first)), more...)
	}
	switch v := v.(type) {
	case string:
		return append(head(2, len(v)), v...)
	case uint16:
		return binary.BigEndian.AppendUint16(head(5, 2), v)
	case uint32:
		return binary.BigEndian.AppendUint32(head(6, 4), v)
	case bool:
		n := 0
		if v {
			n = 1
		}
		return head(14, n)
	case []any:
		b = head(11, len(v))
		for _, e := range v {
			b = encode(b, e)
		}
		return b
	case map[string]any:
		b = head(7, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = encode(encode(b, k), v[k])
		}
		return b
	}
	panic("no such type in these tests")
}
