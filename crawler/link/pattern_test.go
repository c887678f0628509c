package link

import "testing"

func TestPatternMatchesPathAsRobotsTxtSays(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/", "/anything", true},
		{"/a", "/ab", true},
		{"/a$", "/ab", false},
		{"/a*c$", "/abc", true},
		{"/*.pdf$", "/x/y.pdf?z", false},
		{"/ä", "/%C3%A4", true},
		{"/a%2Fb", "/a/b", false},
		{"", "/", true},
	} {
		if got := ParsePattern(c.pattern).Match(CanonicalPath(c.path)); got != c.want {
			t.Errorf("ParsePattern(%q).Match(%q) = %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
	if short, long := ParsePattern("/a").Octets(), ParsePattern("/a$").Octets(); short >= long {
		t.Errorf("an end in the pattern makes it %d long instead of %d, want more", long, short)
	}
}
