package rig

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// connectTime is how long a proxy may take over a CONNECT.
const connectTime = 15 * time.Second

// Connect asks the HTTP proxy at the other end of c for a tunnel to target. Without a name it gives no credentials.
func Connect(c net.Conn, target, name, key string) (net.Conn, error) {
	c.SetDeadline(time.Now().Add(connectTime))
	head := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if name != "" {
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+key)) + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		c.Close()
		return nil, err
	}
	// Nothing is left in the reader: an HTTP origin speaks only when asked.
	answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // its content is c
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("CONNECT %s: %w", target, err)
	}
	if answer.StatusCode != http.StatusOK {
		c.Close()
		return nil, fmt.Errorf("CONNECT %s: %s %s", target, answer.Status, answer.Header.Get("Sward-Error"))
	}
	c.SetDeadline(time.Time{})
	return c, nil
}
