package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A machine in a directory: the host's programs, and everything that an installation may write, of its own. Mounts are in
// a namespace that goes with the shell. systemctl is told that there is no manager to talk to: it does to files what it would do, and
// starts nothing.
const scratchRoot = `
set -e
root=$1
mount --make-rprivate /
mount --rbind /usr $root/usr
mount -t tmpfs none $root/usr/local
mkdir $root/usr/local/bin
mount -t proc proc $root/proc
mount --rbind /dev $root/dev
exec chroot $root /usr/bin/env -i SYSTEMD_OFFLINE=1 PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root /bin/sh -e -c "$2" </dev/null 2>&1
`

// newScratchRoot makes the directory with the program in /download, or skips.
func newScratchRoot(t *testing.T) (root string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: a root of one's own needs root")
	}
	for _, tool := range []string{"unshare", "chroot", "mount", "systemctl", "useradd", "userdel"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: no %s", tool)
		}
	}
	root = t.TempDir()
	for _, dir := range []string{"usr", "etc/systemd/system", "proc", "dev", "tmp", "root", "run/systemd/system", "var/lib", "download"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		if to, err := os.Readlink("/" + link); err == nil {
			if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, file := range []string{"passwd", "group", "shadow", "gshadow", "login.defs", "nsswitch.conf", "ld.so.cache"} {
		if data, err := os.ReadFile("/etc/" + file); err == nil {
			if err := os.WriteFile(filepath.Join(root, "etc", file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	program, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "download", "sward-edge"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := inScratchRoot(t, root, "true"); err != nil {
		t.Skipf("skipped: no mounts here: %v: %s", err, out)
	}
	return root
}

// inScratchRoot runs a script there.
func inScratchRoot(t *testing.T, root, script string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", scratchRoot, "sh", root, script).CombinedOutput()
	return string(out), err
}

func must(t *testing.T, root, script string) string {
	t.Helper()
	out, err := inScratchRoot(t, root, script)
	if err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return out
}

// traces are the names in root that have to do with the agent, and the lines about it in the system's accounts.
func traces(t *testing.T, root string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.Contains(d.Name(), "sward") && !strings.HasPrefix(path, filepath.Join(root, "download")) {
			found = append(found, strings.TrimPrefix(path, root))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"passwd", "group", "shadow", "gshadow"} {
		data, err := os.ReadFile(filepath.Join(root, "etc", file))
		if err == nil && bytes.Contains(data, []byte("sward")) {
			found = append(found, "/etc/"+file)
		}
	}
	return found
}

const invited = "sward:main?at=127.0.0.1:1&hub=" + hub

func TestInstallMakesAServiceAndUninstallLeavesNothing(t *testing.T) { // H16
	root := newScratchRoot(t)
	// The program's copy is in a tmpfs of the shell's, so that one script sees it all.
	out := must(t, root, `
download/sward-edge install '`+invited+`'
echo "== installed"
ls -l /usr/local/bin/sward-edge
grep sward-edge /etc/passwd
stat -c '%U %a %n' /var/lib/sward-edge /var/lib/sward-edge/key /var/lib/sward-edge/edge.yaml
ls /var/lib/sward-edge
readlink /etc/systemd/system/multi-user.target.wants/sward-edge.service
cat /etc/systemd/system/sward-edge.service
echo "== runs"
sed -i s/127.0.0.1:7411/127.0.0.1:0/ /var/lib/sward-edge/edge.yaml
sward-edge run & pid=$!
until test -e /var/lib/sward-edge/control.json; do sleep 0.05; done
sward-edge status
sward-edge doctor | grep service # as root, who has become the service's account
grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/$pid/status
id -u sward-edge
kill $pid; wait $pid
echo "== removed"
sward-edge uninstall
test ! -e /usr/local/bin/sward-edge
ls /var/lib/sward-edge
echo "== purged"
download/sward-edge install
if sward-edge uninstall --purge; then exit 1; fi
download/sward-edge uninstall --purge --without-statement
`)
	for _, want := range []string{
		`It shares nothing until you agree: sward-edge init --dir /var/lib/sward-edge`,
		`(?m)^sward-edge:x:\d+:\d+::/var/lib/sward-edge:/usr/sbin/nologin$`,
		`(?m)^sward-edge 700 /var/lib/sward-edge\nsward-edge 600 /var/lib/sward-edge/key\nsward-edge 600 /var/lib/sward-edge/edge.yaml$`,
		`(?m)^/etc/systemd/system/sward-edge.service$`,
		`(?m)^ExecStart="/usr/local/bin/sward-edge" run --dir "/var/lib/sward-edge"$`,
		`not sharing: the edge's owner has not consented`,
		`(?m)^note +service +is installed, in /var/lib/sward-edge$`,
		`NoNewPrivs:\t1`, `CapEff:\t0000000000000000`,
		`(?s)nothing is removed yet, because what was earned could not be written down.*connection refused`,
		`/var/lib/sward-edge is removed`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %q", want)
		}
	}
	uid := regexp.MustCompile(`(?s)Uid:\t(\d+)\t.*\n(\d+)\n`).FindStringSubmatch(out)
	if uid == nil || uid[1] != uid[2] || uid[1] == "0" {
		t.Errorf("the service ran as %v", uid)
	}
	if left := traces(t, root); len(left) > 0 {
		t.Errorf("uninstall --purge left %v", left)
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestInstalledUnitIsOneSystemdTakes(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("skipped: no systemd-analyze")
	}
	root := newScratchRoot(t)
	out := must(t, root, `
download/sward-edge install '`+invited+`' >/dev/null
systemd-analyze verify --man=no /etc/systemd/system/sward-edge.service 2>&1
echo "== exposure"
systemd-analyze security --offline=true --no-pager /etc/systemd/system/sward-edge.service | tail -1
`)
	said, exposure, _ := strings.Cut(out, "== exposure\n")
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(said), "\n"), func(line string) bool { return !strings.Contains(line, "sward-edge.service") })
	if len(lines) > 0 {
		t.Errorf("systemd says of the unit: %v", lines)
	}
	if !regexp.MustCompile(`Overall exposure level for sward-edge\.service: [01]\.\d OK`).MatchString(exposure) {
		t.Errorf("the unit is exposed: %s", exposure)
	}
}
