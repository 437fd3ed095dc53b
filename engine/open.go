package engine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/go-xla/compute/xla" // without its autoinstall package: nothing is downloaded
	"github.com/gomlx/go-xla/pjrt"
	"k8s.io/klog/v2"
)

// client is an open backend, shared by the engines that asked for the same one.
type client struct {
	key     string
	backend compute.Backend
	name    string
	plugin  string
	version string
	users   int
}

var (
	mu      sync.Mutex
	clients                 = map[string]*client{}      // by plugin, options and folder of compiled programs
	plugins                 = map[string]*pjrt.Plugin{} // by path: a plugin, once loaded, stays for the life of the process
	_       compute.Backend = (*xla.Backend)(nil)
)

// Open opens a backend: "xla", "xla:cpu", "xla:cuda", "xla:/path/to/plugin.so" or "go"; "" stands for the
// environment variable GOMLX_BACKEND, and where that is not set for "xla".
//
// "xla" takes CUDA where a CUDA plugin and an NVIDIA device are present, else the CPU plugin. go-xla's options may
// follow a comma, such as "xla:cuda,preallocate=true"; matrix products are in full float32 unless "tf32=true" asks
// for less. Engines opened with the same specification share one client, so that a second Open is cheap.
//
// Where no plugin is found the error is one line with the command that gets it, see [IsNoPlugin]; there is no
// fallback to the pure-Go backend.
func Open(text string) (*Engine, error) { return OpenWith(text, Options{}) }

// Options is how [OpenWith] opens a backend. The zero value is what [Open] does.
type Options struct {
	// Programs is the folder in which XLA's CPU plugin keeps what it compiled, for other processes to find: a path, "on"
	// or "off", see [ProgramsEnv]. Default: that variable, and where it is not set "off".
	//
	// A program is found again only under the same plugin, flags, options, processor and number of cores, and computes
	// the same bits. Files are written for this user alone, and a folder that others may write to is not used, as what lies
	// there is run; where it cannot be made, read or written, programs are compiled. It holds 512 MB, then those go that were
	// not used for longest. Whatever is set here, a process compiles a program once.
	Programs string
}

// OpenWith is [Open] with options.
func OpenWith(text string, o Options) (*Engine, error) {
	sp, err := parseSpec(text, os.Getenv)
	if err != nil {
		return nil, err
	}
	if sp.programs, err = programsFolder(o.Programs); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	candidates, err := sp.candidates()
	if err != nil {
		return nil, err
	}
	// Where several plugins of the kind are installed, one that lacks its libraries must not hide one that works.
	var first error
	for _, plugin := range candidates {
		shared, err := open(plugin, sp)
		if err == nil {
			return &Engine{backend: shared.backend, name: shared.name, plugin: shared.plugin, version: shared.version, shared: shared}, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// open returns the client of a plugin, shared where it is open already, and counts one more user of it.
func open(plugin Plugin, sp spec) (*client, error) {
	key := plugin.Path + "," + sp.options + "," + sp.programs
	shared := clients[key]
	if shared == nil {
		var err error
		if sp.pure {
			shared, err = openGo()
		} else {
			shared, err = openXLA(plugin, sp)
		}
		if err != nil {
			return nil, err
		}
		shared.key = key
		clients[key] = shared
	}
	shared.users++
	return shared, nil
}

// release gives back one use of a client and destroys it after the last.
func release(c *client) {
	mu.Lock()
	defer mu.Unlock()
	if c.users--; c.users == 0 {
		delete(clients, c.key)
		c.backend.Finalize()
	}
}

func openGo() (*client, error) {
	// One operation after the other, each on all cores: side by side, products may each wait for a worker that another holds, for ever.
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		return nil, fmt.Errorf("engine: pure-Go backend: %s", oneLine(err))
	}
	return &client{backend: backend, name: "go"}, nil
}

// openXLA loads a plugin and creates a client on it.
func openXLA(p Plugin, sp spec) (*client, error) {
	defer quietLog()()
	if p.Kind == CUDA {
		defer quietStderr()()
	} else {
		defer tuneCPU(p.Path)()
		keepMemory()
	}
	loaded, err := load(&p)
	if err != nil {
		return nil, err
	}
	// go-xla's own default takes the plugin's name for its nature; ours is explicit.
	config := loaded.Name() + fmt.Sprintf(",shared_buffers=%t", p.Kind == CPU)
	if !strings.Contains(sp.options, "tf32") {
		config += ",tf32=false"
	}
	if sp.options != "" {
		config += "," + sp.options
	}
	keepNext(sp.programs, p.Path)
	backend, err := xla.New(config)
	if err != nil {
		hint := ""
		if p.Kind == CUDA {
			hint = " (the backend xla:cpu does without the GPU)"
		}
		return nil, fmt.Errorf("engine: plugin %s does not start: %s%s", p.Path, oneLine(err), hint)
	}
	if backend.NumDevices() == 0 {
		backend.Finalize()
		return nil, fmt.Errorf("engine: plugin %s offers no device", p.Path)
	}
	major, minor := loaded.Version()
	return &client{backend: backend, name: "xla:" + string(p.Kind), plugin: p.Path, version: fmt.Sprintf("%d.%d", major, minor)}, nil
}

// load brings a plugin into the process under a name of our own. go-xla tells CPU from CUDA by the letters in that
// name, so a path such as /home/nvidia/cpu/... must not be it; the slash makes go-xla take the name as it is
// instead of searching (and opening) every library on the machine.
func load(p *Plugin) (*pjrt.Plugin, error) {
	if p.Kind == "" {
		p.Kind = CPU
	}
	if loaded := plugins[p.Path]; loaded != nil {
		return loaded, nil
	}
	if p.Kind == CUDA {
		prepareCUDA(p.Path)
	}
	api, err := pjrtAPI(p.Path)
	if err != nil {
		hint := ""
		if p.Kind == CUDA {
			hint = fmt.Sprintf(" (`%s` brings NVIDIA's libraries, the backend xla:cpu does without the GPU)", (&NoPluginError{Kind: CUDA}).Fix())
		}
		return nil, fmt.Errorf("engine: plugin %s does not load on %s/%s: %s%s", p.Path, runtime.GOOS, runtime.GOARCH, oneLine(err), hint)
	}
	if p.Kind == CPU {
		api = share(api)
	}
	name := fmt.Sprintf("/xla-%s-%d", p.Kind, len(plugins))
	if err := pjrt.RegisterPreloadedPlugin(name, api); err != nil {
		return nil, fmt.Errorf("engine: plugin %s does not start: %s", p.Path, oneLine(err))
	}
	loaded, err := pjrt.GetPlugin(name)
	if err != nil {
		return nil, fmt.Errorf("engine: plugin %s: %s", p.Path, oneLine(err))
	}
	plugins[p.Path] = loaded
	return loaded, nil
}

// quietLog silences go-xla's log, which repeats on standard error what its errors say, until the returned function
// is called.
func quietLog() (restore func()) {
	state := klog.CaptureState()
	klog.SetLogger(logr.Discard())
	return state.Restore
}

// oneLine flattens an error's message.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// candidates returns the plugins to try for a specification, best first; one with no path for the pure-Go backend.
func (sp spec) candidates() ([]Plugin, error) {
	switch {
	case sp.pure:
		return []Plugin{{}}, nil
	case sp.path == "":
		return newSearcher().find(sp.kind)
	}
	if info, err := os.Stat(sp.path); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("engine: plugin %s is not a file: give the path of a PJRT plugin, such as .../xla_cpu_pjrt.so", sp.path)
	}
	return []Plugin{{Kind: sp.kind, Path: sp.path}}, nil
}

// FindPlugin returns the path of the plugin that [Open] would try first for a specification, without loading it. It
// is empty for the pure-Go backend.
func FindPlugin(text string) (string, error) {
	sp, err := parseSpec(text, os.Getenv)
	if err != nil {
		return "", err
	}
	found, err := sp.candidates()
	if err != nil {
		return "", err
	}
	return found[0].Path, nil
}
