package link

import "testing"

func TestRegistrableDomainOfAnAddressIsItself(t *testing.T) {
	for name, want := range map[string]string{
		"a.b.site.test": "site.test", "www.site.co.uk": "site.co.uk", "192.0.2.7": "192.0.2.7", "co.uk": "co.uk",
	} {
		if got := Registrable(name); got != want {
			t.Errorf("Registrable(%s): got %s, want %s", name, got, want)
		}
	}
}
