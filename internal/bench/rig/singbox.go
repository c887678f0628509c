package rig

import "strconv"

// object is a piece of a sing-box configuration.
type object = map[string]any

// singSecret stands wherever a protocol of sing-box wants a password. Nothing outside the rig can reach it.
const (
	singSecret = "rig"
	singUUID   = "7c0d8a4e-3f0b-4e9c-9b1f-2f6f0a3f6d10"
)

// SingBox is the configuration of an entry in the street and of an exit in the home that speak a protocol of sing-box's:
// hysteria2, tuic, trojan or anytls. Clients ask the entry by HTTP CONNECT. Hysteria2 is told no bandwidth, so that it
// uses its BBR, and tuic is given BBR too.
func SingBox(protocol string, port int, entryPort, certificate, key string) (entry, exit object) {
	in := object{"type": protocol, "tag": "in", "listen": Home, "listen_port": port}
	out := object{"type": protocol, "tag": "out", "server": Home, "server_port": port}
	user := object{"password": singSecret}
	serverTLS := object{"enabled": true, "certificate_path": certificate, "key_path": key}
	clientTLS := object{"enabled": true, "insecure": true, "server_name": Home}
	if protocol == "tuic" {
		user["uuid"], out["uuid"] = singUUID, singUUID
		in["congestion_control"], out["congestion_control"] = "bbr", "bbr"
	}
	if protocol == "hysteria2" || protocol == "tuic" {
		serverTLS["alpn"], clientTLS["alpn"] = []string{"h3"}, []string{"h3"}
	}
	in["users"], out["password"] = []object{user}, singSecret
	in["tls"], out["tls"] = serverTLS, clientTLS
	listen, _ := strconv.Atoi(entryPort) //nolint:errcheck // the callers' constants are numbers
	local := object{"type": "http", "tag": "local", "listen": Street, "listen_port": listen}
	log := object{"level": "warn"}
	entry = object{"log": log, "inbounds": []object{local}, "outbounds": []object{out}}
	exit = object{"log": log, "inbounds": []object{in}, "outbounds": []object{{"type": "direct", "tag": "direct"}}}
	return entry, exit
}
