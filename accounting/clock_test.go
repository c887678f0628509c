package accounting

import (
	"testing"
	"time"
)

func TestClientReadsTheHubsClock(t *testing.T) {
	n := newTown(t)
	got, err := n.client(n.serve(), n.edge).Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Since(got).Abs(); off > 5*time.Second {
		t.Errorf("the hub on this machine is %s off", off)
	}
	if _, err := n.client("127.0.0.1:1", n.edge).Now(t.Context()); err == nil {
		t.Error("a hub that is away has told the time")
	}
}
