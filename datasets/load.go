package datasets

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trustbook/trustbook/report"
)

// Options says where data come from. The zero value reads what is on the machine and downloads nothing.
type Options struct {
	// Dir is a folder that holds the files of the set, under the names by which they are published. Default: the cache,
	// and for MNIST the module cache of Go.
	Dir string
	// CacheDir is where downloads are kept. Default: $TRUSTBOOK_CACHE, else trustbook in the user's cache folder.
	CacheDir string
	// Fetch allows [Load] to download what is missing.
	Fetch bool
	// Progress is told about downloads. Default: silent.
	Progress report.Progress
	// Seed chooses the variations of generated sets (glyphs).
	Seed int64
	// Glyphs and Omniglot adjust those two sets.
	Glyphs   GlyphOptions
	Omniglot OmniglotOptions
}

// Info describes a data set.
type Info struct {
	Name      string   // what [Load] takes
	What      string   // one line
	Source    string   // who published it
	Bytes     int64    // size of the download, 0 where nothing is downloaded
	Files     []string // the files to download, which [Options.Dir] may hold instead
	Available string   // where it was found, or "generated"; "" where it must be fetched
}

// source is a data set that [Load] knows.
type source struct {
	info    Info
	remotes []remote                                     // to download
	folders []string                                     // below Options.Dir, where the files may lie
	install func(ctx context.Context) error              // a way to get the files that is tried before the download
	local   func(ctx context.Context) string             // a folder outside the cache, "" where there is none
	orFiles string                                       // what may lie there instead
	missing string                                       // a further way to get the files, for the error
	has     func(dir string) bool                        // whether the files lie in dir
	load    func(dir string) (train, test *Set, e error) // reads and checks them
}

// sources are all data sets, in the order of [List].
func sources(o Options) []*source {
	return []*source{mnist(), fashionMNIST(), cifar10(), svhn(), omniglot(o), glyphs(o)}
}

// lookup finds a data set by name.
func lookup(name string, o Options) (*source, error) {
	var names []string
	for _, s := range sources(o) {
		if s.info.Name == strings.ToLower(name) {
			return s, nil
		}
		names = append(names, s.info.Name)
	}
	return nil, fmt.Errorf("no data set %q: want one of %s", name, strings.Join(names, ", "))
}

// Load reads a data set: mnist, fashion-mnist, cifar10, svhn, omniglot or glyphs. It downloads nothing unless
// [Options.Fetch] is set; where files are missing the error says how to get them.
func Load(ctx context.Context, name string, o Options) (train, test *Set, err error) {
	s, err := lookup(name, o)
	if err != nil {
		return nil, nil, err
	}
	dir, err := s.find(ctx, o)
	if err != nil && o.Fetch && o.Dir == "" {
		if err = Fetch(ctx, name, o); err == nil {
			dir, err = s.find(ctx, o)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if train, test, err = s.load(dir); err != nil {
		return nil, nil, fmt.Errorf("%s in %s: %w", s.info.Name, dir, err)
	}
	return train, test, nil
}

// find returns the folder that holds the files of s.
func (s *source) find(ctx context.Context, o Options) (string, error) {
	if s.has == nil { // generated
		return "", nil
	}
	if o.Dir != "" {
		if info, err := os.Stat(o.Dir); err != nil || !info.IsDir() {
			return "", fmt.Errorf("%s: %s is not a folder: give --data-dir one that holds %s", s.info.Name, o.Dir, s.wants())
		}
		for _, sub := range append([]string{".", s.info.Name}, s.folders...) {
			dirs, _ := filepath.Glob(filepath.Join(escapeGlob(o.Dir), sub))
			for _, dir := range dirs {
				if s.has(dir) {
					return dir, nil
				}
			}
		}
		return "", fmt.Errorf("%s: not in %s: give --data-dir a folder that holds %s", s.info.Name, o.Dir, s.wants())
	}
	cache, err := o.cacheDir(s.info.Name)
	if err == nil && s.has(cache) {
		return cache, nil
	}
	if s.local != nil {
		if dir := s.local(ctx); dir != "" {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s: not on this machine: run `trustbook data fetch %s`%s, or name a folder that holds %s with --data-dir",
		s.info.Name, s.info.Name, s.missing, s.wants())
}

// wants names the files of s.
func (s *source) wants() string {
	var names []string
	for _, r := range s.remotes {
		names = append(names, r.name)
	}
	wants := strings.Join(names, ", ")
	if s.orFiles != "" {
		wants += " or " + s.orFiles
	}
	return wants
}

// hasRemotes says whether a folder holds all the files.
func hasRemotes(remotes []remote) func(dir string) bool {
	return func(dir string) bool {
		for _, r := range remotes {
			if !exists(filepath.Join(dir, r.name)) {
				return false
			}
		}
		return true
	}
}

// cacheDir returns the folder of a data set in the cache.
func (o Options) cacheDir(name string) (string, error) {
	if o.CacheDir != "" {
		return filepath.Join(o.CacheDir, name), nil
	}
	if dir := os.Getenv("TRUSTBOOK_CACHE"); dir != "" {
		return filepath.Join(dir, name), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w: set TRUSTBOOK_CACHE", err)
	}
	return filepath.Join(dir, "trustbook", "datasets", name), nil
}

// Verify reads a data set from where [Load] would, checks it, and sums it up in one line. It downloads nothing.
func Verify(ctx context.Context, name string, o Options) (summary string, err error) {
	o.Fetch = false
	s, err := lookup(name, o)
	if err != nil {
		return "", err
	}
	train, test, err := Load(ctx, name, o)
	if err != nil {
		return "", err
	}
	state := train.Note
	switch {
	case s.has == nil:
		state = "generated"
	case state == "":
		state = "official checksums hold"
	}
	return fmt.Sprintf("%s: %d training and %d test examples of shape %v: %s", s.info.Name, train.Len(), test.Len(), train.Shape, state), nil
}

// List describes the data sets, and says which are on this machine: in [Options.Dir], in the cache, in Go's modules.
func List(ctx context.Context, o Options) []Info {
	var list []Info
	for _, s := range sources(o) {
		info := s.info
		if s.has == nil {
			info.Available = "generated"
		} else if dir, err := s.find(ctx, o); err == nil {
			info.Available = dir
		} else if dir, err := s.find(ctx, Options{CacheDir: o.CacheDir}); err == nil {
			info.Available = dir
		}
		for _, r := range s.remotes {
			info.Bytes += r.size
			info.Files = append(info.Files, r.name)
		}
		list = append(list, info)
	}
	return list
}

// exists says whether a file lies at the path.
func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readFile reads a file of at most limit bytes. Errors name the file.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d expected", filepath.Base(path), info.Size(), limit)
	}
	return os.ReadFile(path)
}

// escapeGlob quotes what [filepath.Glob] would take for a pattern.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' {
		return path // no escapes there
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
