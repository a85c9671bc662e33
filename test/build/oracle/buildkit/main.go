// BuildKit in one process: its solver, its worker on runc and its Dockerfile front end. It reads one JSON request a
// line, builds what they ask for side by side, and writes one JSON answer a line, in the order in which they end.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"github.com/sirupsen/logrus"
	"github.com/tonistiigi/fsutil"
	fscopy "github.com/tonistiigi/fsutil/copy"
	"google.golang.org/grpc"
)

type request struct {
	ID int
	// Directory that holds the Dockerfile too.
	Context string
	// Of the front end: `build-arg:X`, `target`, …
	Attrs map[string]string
	// `local`, `tar`; empty for an OCI archive.
	Exporter string
	// Of the exporter.
	Export map[string]string
	// Contents by id.
	Secrets map[string][]byte
	// Sockets by id.
	SSH          map[string]string
	Entitlements []string
	// The archive that is written, or the directory.
	Output string
}

type answer struct {
	ID    int
	Error string `json:",omitempty"`
}

func main() {
	if len(os.Args) != 4 {
		fail(errors.New("usage: buildkit ROOT REGISTRY CGROUP"))
	}
	logrus.SetLevel(logrus.ErrorLevel)
	// As buildkitd.
	syscall.Umask(0)
	fscopy.UmaskIsZero = true
	c, err := start(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fail(err)
	}
	if err := serve(c, os.Stdin, os.Stdout); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "buildkit: %+v\n", err)
	os.Exit(1)
}

// start makes what buildkitd makes, as far as builds need it.
func start(root, registry, cgroup string) (*client.Client, error) {
	ctx := context.Background()
	plain := true
	hosts := resolver.NewRegistryConfig(map[string]resolverconfig.RegistryConfig{
		"docker.io": {Mirrors: []string{registry}},
		registry:    {PlainHTTP: &plain},
	})
	factory := runc.SnapshotterFactory{
		Name: "overlayfs",
		New: func(root string) (snapshots.Snapshotter, error) {
			return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
		},
	}
	opt, err := runc.NewWorkerOpt(root, factory, false, oci.ProcessSandbox, nil, nil,
		netproviders.Opt{Mode: "host"}, nil, "", "", false, nil, "", cgroup, nil)
	if err != nil {
		return nil, err
	}
	opt.RegistryHosts = hosts
	w, err := base.NewWorker(ctx, opt)
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(root, "cache.db"))
	if err != nil {
		return nil, err
	}
	history, err := boltutil.Open(filepath.Join(root, "history.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	controller, err := control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
		},
		CacheManager:   solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		Entitlements:   []string{"network.host", "security.insecure", "device"},
		HistoryDB:      history,
		HistoryConfig:  &config.HistoryConfig{},
		CacheStore:     cache,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
	})
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(root, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	controller.Register(server)
	go func() {
		if err := server.Serve(listener); err != nil {
			fail(err)
		}
	}()
	return client.New(ctx, "unix://"+socket)
}

// serve ends with its input, whatever is still being built.
func serve(c *client.Client, in io.Reader, out io.Writer) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	answers := json.NewEncoder(out)
	var lock sync.Mutex
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var req request
			if err := json.Unmarshal(line, &req); err != nil {
				return err
			}
			go func() {
				result := answer{ID: req.ID}
				if err := build(c, req); err != nil {
					result.Error = err.Error()
				}
				lock.Lock()
				defer lock.Unlock()
				if err := answers.Encode(result); err != nil {
					fail(err)
				}
			}()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func build(c *client.Client, req request) error {
	files, err := fsutil.NewFS(req.Context)
	if err != nil {
		return err
	}
	attached := []session.Attachable{secretsprovider.FromMap(req.Secrets)}
	if len(req.SSH) > 0 {
		var agents []sshprovider.AgentConfig
		for id, socket := range req.SSH {
			agents = append(agents, sshprovider.AgentConfig{ID: id, Paths: []string{socket}})
		}
		agent, err := sshprovider.NewSSHAgentProvider(agents)
		if err != nil {
			return err
		}
		attached = append(attached, agent)
	}
	// What `# syntax=` names is not fetched when somebody says that this is that already.
	attrs := map[string]string{"cmdline": "built in"}
	for name, value := range req.Attrs {
		attrs[name] = value
	}
	_, err = c.Solve(context.Background(), nil, client.SolveOpt{
		Frontend:            "dockerfile.v0",
		FrontendAttrs:       attrs,
		LocalMounts:         map[string]fsutil.FS{"context": files, "dockerfile": files},
		Exports:             []client.ExportEntry{exportOf(req)},
		Session:             attached,
		AllowedEntitlements: req.Entitlements,
	}, nil)
	return err
}

func exportOf(req request) client.ExportEntry {
	entry := client.ExportEntry{Type: req.Exporter, Attrs: req.Export}
	if req.Exporter == client.ExporterLocal {
		entry.OutputDir = req.Output
		return entry
	}
	if req.Exporter == "" {
		entry.Type = client.ExporterOCI
	}
	entry.Output = func(map[string]string) (io.WriteCloser, error) { return os.Create(req.Output) }
	return entry
}
