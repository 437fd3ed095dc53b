package engine

import (
	"bytes"
	"debug/elf"
	"os"
	"strings"
)

// xlaFlags is the environment variable that XLA reads its flags from, once, when its first client starts.
const xlaFlags = "XLA_FLAGS"

// cpuFlags have XLA compute with the values it is given, and fast. XNNPACK stays off: XLA hands it the right factor of a
// product once, packed, and finds it again by its address alone, so weights that come to lie where others lay before are
// not seen (on some AMD processors, for some sizes; see TestFreshWeights). Vectors are as wide as the processor's.
var cpuFlags = []string{"--xla_cpu_use_xnnpack=false", "--xla_cpu_prefer_vector_width=512"}

// tuneCPU sets cpuFlags for a CPU plugin that is about to start, but none that the user has set and none that the
// plugin does not know: XLA ends the process on an unknown flag. The environment is as before after restore.
func tuneCPU(path string) (restore func()) {
	before, present := os.LookupEnv(xlaFlags)
	flags := before
	for _, f := range cpuFlags {
		name := strings.TrimPrefix(f[:strings.Index(f, "=")], "--")
		if !strings.Contains(before, name) && mentions(path, name) {
			flags = strings.TrimSpace(flags + " " + f)
		}
	}
	if flags == before {
		return func() {}
	}
	os.Setenv(xlaFlags, flags)
	return func() {
		if present {
			os.Setenv(xlaFlags, before)
		} else {
			os.Unsetenv(xlaFlags)
		}
	}
}

// mentions tells whether a library's constant data hold a text between zero bytes, as they do the names of its flags.
func mentions(path, text string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	constants := f.Section(".rodata")
	if constants == nil {
		return false
	}
	data, err := constants.Data()
	return err == nil && bytes.Contains(data, []byte("\x00"+text+"\x00"))
}
