package indexer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"
	segment "github.com/blevesearch/scorch_segment_api/v2"
	bolt "go.etcd.io/bbolt/errors"
)

// ErrDamaged is returned by operations that need a shard which failed while the index was open. The
// next Open builds it again.
var ErrDamaged = errors.New("index shard is damaged, open the index again to rebuild it")

var errInUse = errors.New("in use by another process")

// lockWait is how long Open waits for another process to let go of a shard.
const lockWait = "2s"

// damagedMark is the file in a shard's directory that tells the next Open to rebuild it.
const damagedMark = "damaged"

// engine is another name for a bleve index: embedded under its own, it would hide its method Index.
type engine = bleve.Index

// shard is one bleve index that cannot take the process down: what panics inside it is an error.
type shard struct {
	engine
	dir  string
	log  *slog.Logger
	fail sync.Once
	dead chan struct{} // closed when a background worker of the shard has failed
}

// openShard opens shard n below dir. Damage is answered by setting the directory aside and starting
// an empty shard, whose pages are then marked as not indexed, so that recovery fills it.
func openShard(ctx context.Context, dir string, n int, pages *pageStore, log *slog.Logger) (*shard, error) {
	path := filepath.Join(dir, fmt.Sprintf("shard-%02d", n))
	indexed, err := pages.countIndexed(ctx, n)
	if err != nil {
		return nil, err
	}
	s, err := useShard(path, log)
	if err == nil {
		var count uint64
		if count, err = s.DocCount(); err == nil && count >= uint64(indexed) {
			return s, nil // more is well: pages are marked after they are indexed
		}
		err = errors.Join(err, fmt.Errorf("%d pages are indexed, %d were", count, indexed), s.Close())
	}
	if errors.Is(err, errInUse) || errors.Is(err, bolt.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", path, errInUse)
	}
	if !errors.Is(err, bleve.ErrorIndexPathDoesNotExist) {
		aside := fmt.Sprintf("%s.damaged-%d", path, time.Now().UnixNano())
		log.Error("index shard is damaged, building it again", "shard", n, "pages", indexed, "error", err)
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("set damaged shard aside: %w", err)
		}
	}
	if err := pages.reindexShard(ctx, n); err != nil {
		return nil, err
	}
	return newShard(path, log)
}

// useShard opens an existing shard and checks every file it consists of.
func useShard(path string, log *slog.Logger) (s *shard, err error) {
	if _, err := os.Stat(filepath.Join(path, damagedMark)); err == nil {
		return nil, ErrDamaged
	}
	if s, err = watchedShard(path, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	defer s.caught(&err)
	index, err := bleve.OpenUsing(path, shardConfig())
	if err != nil {
		return s, err
	}
	s.engine = index
	return s, s.verify()
}

func newShard(path string, log *slog.Logger) (s *shard, err error) {
	m, err := newMapping()
	if err != nil {
		return nil, err
	}
	if s, err = watchedShard(path, log); err != nil {
		return nil, err
	}
	if s.engine, err = bleve.NewUsing(path, m, scorch.Name, scorch.Name, shardConfig()); err != nil {
		watched.Delete(s.storePath())
		return nil, fmt.Errorf("create shard: %w", err)
	}
	return s, nil
}

func shardConfig() map[string]any {
	return map[string]any{"bolt_timeout": lockWait, "asyncErrorCallbackName": asyncCallback}
}

// asyncCallback is the name under which bleve finds our answer to failures of its background
// workers. Its registry is global and takes functions by name, so the shard is found by its path.
const asyncCallback = "sward/indexer"

var watched sync.Map // store path to *shard

func init() {
	scorch.RegistryAsyncErrorCallbacks[asyncCallback] = func(err error, path string) {
		if s, ok := watched.Load(path); ok {
			s.(*shard).failed(err)
		}
	}
}

func watchedShard(path string, log *slog.Logger) (*shard, error) {
	s := &shard{dir: path, log: log, dead: make(chan struct{})}
	if _, taken := watched.LoadOrStore(s.storePath(), s); taken {
		return nil, errInUse // by this very process: file locks would not tell on every system
	}
	return s, nil
}

func (s *shard) storePath() string { return filepath.Join(s.dir, "store") }

// Close closes the shard; it may be called on one that never opened.
func (s *shard) Close() error {
	watched.Delete(s.storePath())
	if s.engine == nil {
		return nil
	}
	return s.engine.Close()
}

// failed marks the shard for rebuilding. It is called from bleve's workers, hence once and briefly.
func (s *shard) failed(cause error) {
	s.fail.Do(func() {
		s.log.Error("index shard failed", "shard", filepath.Base(s.dir), "error", cause)
		if err := os.WriteFile(filepath.Join(s.dir, damagedMark), nil, 0o600); err != nil {
			s.log.Error("cannot mark index shard as damaged", "shard", filepath.Base(s.dir), "error", err)
		}
		close(s.dead)
	})
}

func (s *shard) caught(err *error) {
	if r := recover(); r != nil {
		cause := fmt.Errorf("%w: %v", ErrDamaged, r)
		s.failed(cause)
		*err = cause
	}
}

// SearchInContext is bleve's, kept from panicking on damage that shows only when it is read.
func (s *shard) SearchInContext(ctx context.Context, r *bleve.SearchRequest) (result *bleve.SearchResult, err error) {
	defer s.caught(&err)
	return s.engine.SearchInContext(ctx, r)
}

// apply runs a batch. bleve waits without end for a background worker that has died, therefore the
// wait is ours; the goroutine it strands goes with the process that has to be restarted.
func (s *shard) apply(b *bleve.Batch) error {
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer s.caught(&err)
		err = s.engine.Batch(b)
	}()
	select {
	case err := <-done:
		return err
	case <-s.dead:
		return ErrDamaged
	}
}

// verify compares each segment file with the CRC-32 in its last four bytes. bleve maps the files and
// believes them; a flipped bit would answer wrongly for years. It reads about 1 GB/s.
func (s *shard) verify() error {
	advanced, err := s.Advanced()
	if err != nil {
		return err
	}
	reader, err := advanced.Reader()
	if err != nil {
		return err
	}
	defer reader.Close()
	snapshot, ok := reader.(*scorch.IndexSnapshot)
	if !ok {
		return fmt.Errorf("index of kind %T is not ours", reader)
	}
	for _, part := range snapshot.Segments() {
		if file, ok := part.Segment().(segment.PersistedSegment); ok {
			if err := verifyFile(file.Path()); err != nil {
				return err
			}
		}
	}
	return nil
}

func verifyFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < crc32.Size {
		return fmt.Errorf("segment %s is cut: %w", filepath.Base(path), fs.ErrInvalid)
	}
	sum := crc32.NewIEEE()
	if _, err := io.CopyN(sum, f, info.Size()-crc32.Size); err != nil {
		return err
	}
	var want [crc32.Size]byte
	if _, err := io.ReadFull(f, want[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(want[:]) != sum.Sum32() {
		return fmt.Errorf("segment %s does not match its checksum", filepath.Base(path))
	}
	return nil
}
