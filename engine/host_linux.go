package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// isPrivate tells whether a folder is this user's, and no other user may write to it.
func isPrivate(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// setIdentity takes down all that a compiled program depends on but the program and its options: the plugin's bytes, XLA's
// flags as it started with them, the processor, and the number of its cores that may be used, for which XLA cuts the work. It
// returns false where that is not known.
func (f *folder) setIdentity(plugin, flags string) bool {
	for word := range strings.FieldsSeq(flags) {
		if !strings.HasPrefix(word, "-") { // a file of flags
			return false
		}
	}
	processor, library := processor(), f.library(plugin)
	if processor == "" || library == "" {
		return false
	}
	cores := fmt.Sprint(runtime.NumCPU(), os.Getenv("NPROC"), ",", os.Getenv("PJRT_NPROC"))
	key := digestOf([]byte(programHead), []byte(library), []byte(flags), []byte(runtime.GOARCH), []byte(processor), []byte(cores))
	f.identity = key[:]
	return true
}

// processor is what /proc/cpuinfo tells of the first core: its model and its sets of instructions, "" where it does not.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	return processorIn(string(text))
}

func processorIn(cpuinfo string) string {
	var known []string
	instructions := false
	first, _, _ := strings.Cut(cpuinfo, "\n\n")
	for line := range strings.Lines(first) {
		switch name, _, _ := strings.Cut(line, ":"); strings.TrimSpace(name) {
		case "flags", "Features":
			instructions = true
			known = append(known, line)
		case "vendor_id", "cpu family", "model", "model name", "stepping",
			"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision":
			known = append(known, line)
		}
	}
	if !instructions {
		return ""
	}
	return strings.Join(known, "")
}

// library is the SHA-256 of a plugin, "" where it cannot be read. Reading one takes a second, so that the folder keeps it
// under what changes when a file does.
func (f *folder) library(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	key := digestOf([]byte(fmt.Sprint(stat.Dev, stat.Ino, stat.Size, stat.Mtim, stat.Ctim)))
	note := filepath.Join(f.dir, hex.EncodeToString(key[:])+".plugin")
	if known, err := os.ReadFile(note); err == nil && len(known) == 2*sha256.Size {
		return string(known)
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return ""
	}
	sum := hex.EncodeToString(h.Sum(nil))
	_ = writeWhole(note, []byte(sum))
	return sum
}
