package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sward/accounting"
	"sward/edge/diary"
	"sward/internal/daemon"
	"sward/internal/identity"
)

// Farewell is what an owner keeps when they delete their edge: what the hub says it owes, and every receipt that is still
// here, in the bytes that both sides signed. With it a claim can be made after the key is gone.
type Farewell struct {
	Edge      identity.ID          `json:"edge"`
	Network   string               `json:"network"`
	Hub       identity.ID          `json:"hub"`
	Taken     time.Time            `json:"taken"`
	Statement accounting.Statement `json:"statement"` // the hub's word
	Unsettled []FarewellReceipt    `json:"unsettled"` // signed, and not confirmed by the hub
	Settled   []FarewellReceipt    `json:"settled"`   // signed, and confirmed
}

// FarewellReceipt is a channel with its latest receipt.
type FarewellReceipt struct {
	Channel []byte `json:"channel"`
	Receipt []byte `json:"receipt"`
}

// farewellHub is what a farewell asks of the hub; *accounting.Client is it.
type farewellHub interface {
	Settle(context.Context, []accounting.SignedChannel, []accounting.SignedReceipt) ([]accounting.Settled, error)
	Statement(context.Context, accounting.StatementQuery) (accounting.Statement, error)
}

// maxFarewell bounds the receipts of either kind that a farewell lists.
const maxFarewell = 1 << 16

// TakeFarewell hands in what the hub has not seen, asks it for a statement, and gathers the receipts in dir. No edge runs
// on dir: the caller holds it by Occupy. The error says that the hub did not answer, and then nothing is known to be safe.
func TakeFarewell(ctx context.Context, dir, network string, id, hubID identity.ID, hub farewellHub) (f Farewell, err error) {
	f = Farewell{Edge: id, Network: network, Hub: hubID, Taken: time.Now().UTC(), Unsettled: []FarewellReceipt{}, Settled: []FarewellReceipt{}}
	spool, err := accounting.OpenSpool(filepath.Join(dir, spoolDir), network)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	if _, err := spool.Submit(ctx, hub.Settle); err != nil {
		return f, fmt.Errorf("hand in the last receipts: %w", err)
	}
	if f.Statement, err = hub.Statement(ctx, accounting.StatementQuery{}); err != nil {
		return f, fmt.Errorf("ask the hub for a statement: %w", err)
	}
	for _, u := range spool.Pending(maxFarewell) {
		f.Unsettled = append(f.Unsettled, FarewellReceipt{u.Channel.Bytes(), u.Receipt.Bytes()})
	}
	books := openProofs(dir, network)
	for _, day := range books.onDisk() {
		kept, err := books.read(day)
		if err != nil {
			return f, err
		}
		for _, p := range kept {
			if p.Refused == "" && len(f.Settled) < maxFarewell {
				f.Settled = append(f.Settled, FarewellReceipt{p.Channel, p.Receipt})
			}
		}
	}
	return f, nil
}

// Write writes a farewell where there is no file yet.
func (f Farewell) Write(path string) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode statement: %w", err)
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the statement: %w", err)
	}
	_, err = out.Write(append(data, '\n'))
	return errors.Join(err, out.Sync(), out.Close())
}

// Occupy keeps every edge off dir until release is called; daemon.ErrLocked says that one runs there.
func Occupy(dir string) (release func() error, err error) {
	return daemon.Lock(filepath.Join(dir, lockFile))
}

// stateFiles are all that an edge, its dashboard and its commands write into their directory. Whoever adds a file names it
// here: what is not known is taken for the owner's, and stays.
var stateFiles = []string{
	SettingsFile, KeyFile, consentFile, pauseFile, refusalsFile, volumeFile, listsFile, lineFile, chancesFile, householdFile, spoolDir, proofsDir, DiaryDir, lockFile,
	"control.json", "dashboard.json", // the dashboard's
	"doctor",        // its attempt to write
	"activity.json", // of the agent before it had a diary
}

// Erase removes all that an edge has written into dir, and dir itself when nothing else is in it. The keys of the diary
// are written over first. What is left is not the edge's, and is returned.
func Erase(dir string) (left []string, err error) {
	if _, err := os.Stat(filepath.Join(dir, DiaryDir)); err == nil {
		d, err := diary.Open(filepath.Join(dir, DiaryDir), 0, time.Now) // to keep nothing is to forget all
		if err == nil {
			err = d.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !isState(e.Name()) {
			left = append(left, e.Name())
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return left, err
		}
	}
	if len(left) > 0 {
		return left, nil
	}
	return nil, os.Remove(dir)
}

// isState tells a file of the edge, a rotated log of its, or what an interrupted write of one left behind.
func isState(name string) bool {
	for _, ours := range stateFiles {
		if name == ours || strings.HasPrefix(name, "edge.log") ||
			strings.HasSuffix(name, ".tmp") && strings.HasPrefix(name, ours+".") || strings.HasPrefix(name, "."+ours+"-") {
			return true
		}
	}
	return false
}
