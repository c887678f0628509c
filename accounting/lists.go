package accounting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"sward/internal/identity"
	"sward/internal/wire"
)

// ListCategories is the name, in [Directory.Lists], of the lists that the hub adds to the categories of every owner's policy.
const ListCategories = "categories"

const pathLists = "/v1/lists"

// listDigest stands before the digest in a list's version.
const listDigest = " sha256:"

// ListVersion is how the directory names a list: what its maker calls the version, and the digest of the bytes, which binds
// them to the hub's signature.
func ListVersion(version string, list []byte) string {
	sum := sha256.Sum256(list)
	return version + listDigest + hex.EncodeToString(sum[:])
}

// ListDigest is the digest in a list's version.
func ListDigest(version string) (digest Hash, ok bool) {
	_, text, found := strings.Cut(version, listDigest)
	raw, err := hex.DecodeString(text)
	if !found || err != nil || len(raw) != len(digest) {
		return digest, false
	}
	return Hash(raw), true
}

// listsAnswer carries a list: for the book it is bytes, and what they say is between the operator and the edges.
type listsAnswer struct {
	List []byte `json:"list"`
}

// SetList puts the operator's lists into the directory, which tells every edge to fetch them; none takes them out.
func (b *Book) SetList(version string, list []byte) error {
	answer, err := json.Marshal(listsAnswer{list})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists, b.list = nil, nil
	if len(list) > 0 {
		b.lists, b.list = map[string]string{ListCategories: ListVersion(version, list)}, answer
	}
	b.directory = SignedDirectory{} // made anew for whoever asks next
	return nil
}

// listAnswer is what SetList was told, encoded.
func (b *Book) listAnswer(context.Context, identity.ID) (json.RawMessage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.list == nil {
		return nil, wire.Errorf(wire.BadRequest, "the hub adds no lists")
	}
	return b.list, nil
}

// List fetches the lists that the directory names by this version, and checks that they are those.
func (c *Client) List(ctx context.Context, version string) ([]byte, error) {
	want, ok := ListDigest(version)
	if !ok {
		return nil, wire.Errorf(wire.ProtocolError, "the directory names lists by no digest")
	}
	var answer listsAnswer
	if err := c.call(ctx, http.MethodGet, pathLists, nil, &answer); err != nil {
		return nil, err
	}
	if sha256.Sum256(answer.List) != want {
		return nil, wire.Errorf(wire.ProtocolError, "the lists are not those that the directory names")
	}
	return answer.List, nil
}
