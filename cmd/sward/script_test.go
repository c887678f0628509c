package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: scripts run it as processes of their own.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"sward": main}) }

// TestScripts reads the stories in testdata/script. Beside the commands of testscript they know those of commands.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Cmds: commands, Condition: condition, RequireExplicitExec: true, RequireUniqueNames: true,
	})
}

// condition knows [root]: no file is unreadable to it.
func condition(name string) (bool, error) {
	if name != "root" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return os.Geteuid() == 0, nil
}

var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"flip":      flip,
	"freeports": freePorts,
	"idenv":     idEnv,
	"jsonenv":   jsonEnv,
	"replace":   replace,
	"terminate": terminate,
	"until":     until,
	"waitfile":  waitFile,
	"waitport":  waitPort,
}

const (
	patience = time.Minute           // for a process to come up, on a machine that is busy with other tests
	glance   = 20 * time.Millisecond // between two looks
)

// await looks until seen is true.
func await(ts *testscript.TestScript, what string, seen func() bool) {
	for end := time.Now().Add(patience); !seen(); time.Sleep(glance) {
		if time.Now().After(end) {
			ts.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func usage(ts *testscript.TestScript, neg, right bool, text string) {
	if neg || !right {
		ts.Fatalf("usage: %s", text)
	}
}

// waitFile FILE waits until there is a file of that name.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "waitfile FILE")
	await(ts, args[0], func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}

// waitPort ADDRESS waits until something takes TCP connections there.
func waitPort(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "waitport ADDRESS")
	await(ts, args[0], func() bool {
		conn, err := net.DialTimeout("tcp", args[0], time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// until PATTERN PROGRAM [ARGUMENT...] runs a program again and again until its standard output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "until PATTERN PROGRAM [ARGUMENT...]")
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	await(ts, args[0], func() bool {
		err := ts.Exec(args[1], args[2:]...)
		return err == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}

// terminate WORD sends SIGTERM to the background processes with that word among their arguments.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "terminate WORD")
	sent := false
	for _, cmd := range ts.BackgroundCmds() {
		if slices.Contains(cmd.Args, args[0]) {
			ts.Check(cmd.Process.Signal(syscall.SIGTERM))
			sent = true
		}
	}
	if !sent {
		ts.Fatalf("no background process has the argument %s", args[0])
	}
}

// freePorts NAME... sets each name to an address of this machine whose port is free for TCP and for UDP. They are
// below the ports that systems give out by themselves, so that none is given out before it is used.
func freePorts(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0, "freeports NAME...")
	for _, name := range args {
		await(ts, "a free port", func() bool {
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(10000)))
			tcp, err := net.Listen("tcp", address)
			if err != nil {
				return false
			}
			defer tcp.Close()
			udp, err := net.ListenPacket("udp", address)
			if err != nil {
				return false
			}
			defer udp.Close()
			ts.Setenv(name, address)
			return true
		})
	}
}

// jsonEnv FILE NAME=KEY... sets each name to the text under its key, a dotted path. The text must not be empty.
func jsonEnv(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "jsonenv FILE NAME=KEY...")
	var all any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &all))
	for _, arg := range args[1:] {
		name, path, _ := strings.Cut(arg, "=")
		at := all
		for _, key := range strings.Split(path, ".") {
			switch in := at.(type) {
			case map[string]any:
				at = in[key]
			case []any:
				n, err := strconv.Atoi(key)
				ts.Check(err)
				at = in[n]
			}
		}
		text, ok := at.(string)
		if !ok || text == "" {
			ts.Fatalf("%s in %s is %v, want a text", path, args[0], at)
		}
		ts.Setenv(name, text)
	}
}

// idEnv NAME sets name to what the last program printed: an identity, a key or a code.
func idEnv(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "idenv NAME")
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// replace OLD NEW FILE puts new for old, which must be there.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "replace OLD NEW FILE")
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s does not have %q", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(text, args[0], args[1])), 0o600))
}

// flip FILE TEXT changes one bit of the first byte of the last place where the file has the text.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "flip FILE TEXT")
	data := []byte(ts.ReadFile(args[0]))
	at := strings.LastIndex(string(data), args[1])
	if at < 0 {
		ts.Fatalf("%s does not have %q", args[0], args[1])
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}
