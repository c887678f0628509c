package crawltest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// postgres is the server of this test process.
var postgres struct {
	once   sync.Once
	server *exec.Cmd
	dir    string
	absent string // why there is none
	err    error
	count  int // of databases, under mu
	mu     sync.Mutex
}

// Postgres returns the DSN of a schema of its own on a PostgreSQL server, which the first call starts. The test is skipped
// where none is installed. TestMain calls StopPostgres.
func Postgres(t testing.TB) string {
	t.Helper()
	p := &postgres
	_, measured := t.(*testing.B)
	p.once.Do(func() { p.absent, p.err = startPostgres(measured) })
	if p.absent != "" {
		t.Skip(p.absent)
	}
	if p.err != nil {
		t.Fatalf("start PostgreSQL: %v", p.err)
	}
	p.mu.Lock()
	p.count++
	schema := fmt.Sprintf("test_%d", p.count)
	p.mu.Unlock()
	db, err := sql.Open("pgx", dsn("public"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	return dsn(schema)
}

func dsn(schema string) string {
	return "postgres:///postgres?" + url.Values{"host": {postgres.dir}, "user": {"postgres"}, "search_path": {schema}}.Encode()
}

// StopPostgres ends the server, if there is one, and removes its files.
func StopPostgres() {
	p := &postgres
	if p.server != nil {
		_ = p.server.Process.Signal(syscall.SIGQUIT) // at once: nobody needs the files
		_ = p.server.Wait()
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// startPostgres makes a cluster that listens on a socket in its own directory and nowhere else. It waits for the disk only
// where that is measured: tests kill the crawler, and never the server or the machine.
func startPostgres(durable bool) (absent string, err error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "PostgreSQL is not installed", nil
	}
	bin := filepath.Dir(found[len(found)-1])
	var as syscall.SysProcAttr
	owner := os.Getuid()
	if owner == 0 { // which PostgreSQL refuses to run as
		u, unknown := user.Lookup("postgres")
		if unknown != nil { //nolint:nilerr // it is why the test is skipped
			return "there is no user postgres to run PostgreSQL as", nil
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		owner = uid
	}
	if postgres.dir, err = os.MkdirTemp("/tmp", "sward-pg-"); err != nil { // a socket's path is short
		return "", err
	}
	if err := os.Chown(postgres.dir, owner, -1); err != nil {
		return "", err
	}
	data := filepath.Join(postgres.dir, "data")
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.CommandContext(context.Background(), filepath.Join(bin, name), args...)
		c.Dir, c.SysProcAttr = postgres.dir, &as
		return c
	}
	initdb := command("initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	fsync := "on"
	if !durable {
		fsync = "off"
	}
	postgres.server = command("postgres", "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+postgres.dir, "-c", "fsync="+fsync)
	killed := as
	killed.Pdeathsig = syscall.SIGQUIT // a test that is killed leaves no server
	postgres.server.SysProcAttr = &killed
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the signal comes when the thread that started the server ends
		started <- postgres.server.Start()
		select {}
	}()
	if err := <-started; err != nil {
		postgres.server = nil
		return "", err
	}
	return "", postgresReady()
}

// readyWithin is for a server that has just been started, on a busy machine.
const readyWithin = 30 * time.Second

func postgresReady() error {
	db, err := sql.Open("pgx", dsn("public"))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
		if err = db.PingContext(context.Background()); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
