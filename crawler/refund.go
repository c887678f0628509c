package crawler

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

const (
	refundEvery = 10 * time.Second // new counts are told
	refundAgain = 10 * time.Minute // all counts are: what waits for fees is paid when there are some
	maxRefunds  = 256              // accounts read at a time
)

// bill is what a lease costs: every byte on its roads is charged to the account when it crosses, and those of the pages that
// were delivered are the account's. The rest goes back to it: failures and retries, second looks at an edge, duplicates,
// robots.txt. What a killed process had under way is not counted, since the count ends with the lease.
type bill struct {
	crossed   atomic.Int64
	delivered atomic.Int64
	lap       int64 // crossed, when the last page had arrived: the stream's goroutine owns it
}

type billKey struct{}

// page is what has crossed since the last page.
func (b *bill) page() int64 {
	now := b.crossed.Load()
	n := now - b.lap
	b.lap = now
	return n
}

// waste is what brought nothing.
func (b *bill) waste() int64 { return max(0, b.crossed.Load()-b.delivered.Load()) }

// billed counts what crosses conn on the bill of ctx, if there is one.
func billed(ctx context.Context, conn net.Conn) net.Conn {
	if b, ok := ctx.Value(billKey{}).(*bill); ok && conn != nil {
		return &billedConn{conn, b}
	}
	return conn
}

type billedConn struct {
	net.Conn
	bill *bill
}

func (c *billedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bill.crossed.Add(int64(n))
	return n, err
}

func (c *billedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bill.crossed.Add(int64(n))
	return n, err
}

// withBills has every road of the crawler counted.
func (c Config) withBills() Config {
	crawl, tunnel, through := c.OpenCrawl, c.OpenTunnel, c.OpenThrough
	c.OpenCrawl = func(ctx context.Context, a Account, avoid []string) (net.Conn, string, error) {
		conn, edge, err := crawl(ctx, a, avoid)
		return billed(ctx, conn), edge, err
	}
	c.OpenTunnel = func(ctx context.Context, a Account, hostport string, avoid []string) (net.Conn, string, error) {
		conn, edge, err := tunnel(ctx, a, hostport, avoid)
		return billed(ctx, conn), edge, err
	}
	if through != nil {
		c.OpenThrough = func(ctx context.Context, a Account, hostport, edge string) (net.Conn, error) {
			conn, err := through(ctx, a, hostport, edge)
			return billed(ctx, conn), err
		}
	}
	return c
}

// openRefunds starts an account's count, if it has none: its fees count towards refunds from then on.
func (t *tx) openRefunds(a Account) error {
	owner, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("note account: %w", err)
	}
	_, err = t.do(`INSERT INTO refunds (account, owner, bytes, told) VALUES (?, ?, 0, -1)
		ON CONFLICT (account) DO UPDATE SET owner = excluded.owner`, a.ID, string(owner))
	return err
}

// giveBack adds to an account's count.
func (t *tx) giveBack(a Account, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	_, err := t.do("UPDATE refunds SET bytes = bytes + ? WHERE account = ?", bytes, a.ID)
	return err
}

// source names this store's counts: a random id, drawn once.
func (s *store) source() (id [16]byte, err error) {
	err = s.update(func(tx *tx) error {
		var have []byte
		err := tx.query("SELECT id FROM source").Scan(&have)
		if errors.Is(err, sql.ErrNoRows) {
			have = make([]byte, len(id))
			rand.Read(have)
			_, err = tx.do("INSERT INTO source (id) VALUES (?)", have)
		}
		if err == nil && len(have) != len(id) {
			err = fmt.Errorf("the store's id has %d bytes", len(have))
		}
		copy(id[:], have)
		return err
	})
	return id, err
}

// refund tells what is to be given back until ctx ends.
func (c *Crawler) refund(ctx context.Context) error {
	if c.cfg.Refund == nil {
		<-ctx.Done()
		return nil
	}
	failing := false
	for all := time.Now(); ; {
		again := time.Since(all) >= refundAgain
		if again {
			all = time.Now()
		}
		err := c.refundOnce(ctx, again)
		if err != nil && ctx.Err() == nil && !failing {
			c.cfg.Log.Error("refunds cannot be told, they wait", "error", err)
		}
		failing = err != nil
		if !sleep(ctx, refundEvery) {
			return nil
		}
	}
}

// refundOnce tells the counts that are new, or all. One that is refused holds up no other.
func (c *Crawler) refundOnce(ctx context.Context, all bool) error {
	query := "SELECT account, owner, bytes FROM refunds WHERE account > ? AND bytes <> told ORDER BY account LIMIT ?"
	if all {
		query = "SELECT account, owner, bytes FROM refunds WHERE account > ? AND bytes > 0 ORDER BY account LIMIT ?"
	}
	var refused []error
	for last := ""; ; {
		counts, err := c.counts(ctx, query, last)
		if err != nil {
			return fmt.Errorf("read refunds: %w", err)
		}
		for _, n := range counts {
			if err := c.tellRefund(ctx, n); err != nil {
				refused = append(refused, err)
			}
		}
		if len(counts) < maxRefunds || ctx.Err() != nil {
			return errors.Join(refused...)
		}
		last = counts[len(counts)-1].row
	}
}

func (c *Crawler) tellRefund(ctx context.Context, n count) error {
	if err := c.cfg.Refund(ctx, n.account, c.source, uint64(n.bytes)); err != nil {
		return fmt.Errorf("refund: %w", err)
	}
	err := c.store.update(func(tx *tx) error {
		_, err := tx.do("UPDATE refunds SET told = ? WHERE account = ?", n.bytes, n.row)
		return err
	})
	if err != nil {
		return fmt.Errorf("note refund: %w", err)
	}
	return nil
}

// count is a row of refunds.
type count struct {
	row     string
	account Account
	bytes   int64
}

func (c *Crawler) counts(ctx context.Context, query, after string) (all []count, err error) {
	rows, err := c.store.rows(ctx, query, after, maxRefunds)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var owner string
		var n count
		if err := rows.Scan(&n.row, &owner, &n.bytes); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(owner), &n.account); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}
