package datasets

import (
	"context"
	"fmt"
)

// remote is a file to download.
type remote struct {
	name string
	md5  string // hexadecimal; "" where none is published
	size int64  // in bytes; a bound too: more is refused
	urls []string
}

// Fetch downloads a data set into the cache.
func Fetch(ctx context.Context, name string, o Options) error {
	return fmt.Errorf("fetch %s: not there yet", name)
}
