package accounting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sward/internal/identity"
)

const (
	directoryType = "directory"
	// directoryLife is how long a copy may serve: a hub that is away for a day stops nobody, a relay that was thrown out
	// is gone from every copy after one.
	directoryLife = 24 * time.Hour
	directoryAge  = time.Minute // a signed copy is served this long before a new one is signed

)

// Directory tells edges and partners who is in the network and what holds there. Whoever pins the hub's key needs
// nothing else, and any relay can pass it on.
type Directory struct {
	Network  string            `json:"network"`
	Hub      identity.ID       `json:"hub"`
	Issued   time.Time         `json:"issued"`
	Expires  time.Time         `json:"expires"`
	MinAgent string            `json:"min_agent"`       // the oldest version of the home agent that relays serve
	Lists    map[string]string `json:"lists,omitempty"` // version of each domain list, by name
	Consents []Hash            `json:"consents"`        // hashes of the terms of which an owner must have accepted one
	Price    Price             `json:"price"`
	Relays   []DirectoryRelay  `json:"relays"` // ascending by id
}

// DirectoryRelay is where one relay is to be found.
type DirectoryRelay struct {
	ID     identity.ID `json:"id"`
	Tunnel string      `json:"tunnel"` // host:port (UDP)
	Region string      `json:"region"`
	Reach  string      `json:"reach,omitempty"` // host:port of its libp2p host (UDP and TCP)
}

// SignedDirectory is a Directory with the exact bytes that were signed.
type SignedDirectory struct {
	Directory
	Body, Sig []byte
}

// envelope is how the signed bytes travel: as they are, not as some other encoder would write them.
type envelope struct {
	Body []byte `json:"body"`
	Sig  []byte `json:"sig"`
}

// Bytes is the document that VerifyDirectory reads, to be stored or passed on.
func (d SignedDirectory) Bytes() []byte {
	b, _ := json.Marshal(envelope{Body: d.Body, Sig: d.Sig}) // two byte slices always encode
	return b
}

// SignDirectory signs a directory with the hub's key, which must be d.Hub's.
func SignDirectory(key identity.Key, d Directory) (SignedDirectory, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return SignedDirectory{}, fmt.Errorf("encode directory: %w", err)
	}
	return SignedDirectory{Directory: d, Body: body, Sig: key.Sign(d.Network, directoryType, body)}, nil
}

// VerifyDirectory reads a directory and checks that hub signed it for this network and that it holds at now.
func VerifyDirectory(network string, hub identity.ID, document []byte, now time.Time) (SignedDirectory, error) {
	var e envelope
	if err := unmarshalStrict(document, &e); err != nil {
		return SignedDirectory{}, fmt.Errorf("directory: %w", err)
	}
	if !hub.Verify(network, directoryType, e.Body, e.Sig) {
		return SignedDirectory{}, fmt.Errorf("directory: not signed by %s for network %q", hub, network)
	}
	d := SignedDirectory{Body: e.Body, Sig: e.Sig}
	if err := json.Unmarshal(e.Body, &d.Directory); err != nil { // lenient: a later hub may say more
		return SignedDirectory{}, fmt.Errorf("directory: %w", err)
	}
	switch {
	case d.Network != network || d.Hub != hub:
		return SignedDirectory{}, errors.New("directory: it speaks of another network")
	case now.Add(maxSkew).Before(d.Issued):
		return SignedDirectory{}, fmt.Errorf("directory: issued at %s, which is yet to come", d.Issued.Format(time.RFC3339))
	case !now.Before(d.Expires):
		return SignedDirectory{}, fmt.Errorf("directory: expired at %s", d.Expires.Format(time.RFC3339))
	}
	return d, nil
}

// unmarshalStrict refuses unknown fields and anything after the value.
func unmarshalStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}
