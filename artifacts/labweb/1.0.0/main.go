// Copyright (c) 2026 the labctl authors
// SPDX-License-Identifier: GPL-3.0-or-later

// Command labweb is a small web server to prove a cluster with, and the services of its demo.
//
//	labweb             serve
//	labweb get URL     print what a URL answers: images with nothing but labweb have no curl
//	labweb version     print the program's version
//
// It is set by its environment:
//
//	LABWEB_LISTEN     address to listen on, :8080
//	LABWEB_NAME       the service's name, labweb
//	LABWEB_VERSION    the service's version, 1
//	LABWEB_DRAIN      how long it takes requests after SIGTERM, 5s: who balances learns of an end later than we do
//	LABWEB_FILES      folder below which /files/NAME are written and read; none without it
//	LABWEB_FETCH      true lets /fetch?url=... ask other servers
//	LABWEB_CONTENT    a JSON file whose content /api gives
//	LABWEB_UPSTREAMS  services that /api asks for theirs: name=http://host,name=http://host
//	LABWEB_TITLE      makes / a page for people with this title
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	program  = "1.0.0"
	maxBytes = 1 << 20
	patience = 5 * time.Second
)

// server is one running labweb.
type server struct {
	name, version, host, title string
	files, content             string
	fetches                    bool
	upstreams                  []upstream
	client                     *http.Client
	draining                   atomic.Bool
}

// upstream is a service that this one asks.
type upstream struct{ name, url string }

// answer is what /api gives: who answered, what it knows, and what the services behind it said.
type answer struct {
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Host      string            `json:"host"`
	Content   json.RawMessage   `json:"content,omitempty"`
	Upstreams map[string]answer `json:"upstreams,omitempty"`
	Error     string            `json:"error,omitempty"`
}

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	log.SetOutput(os.Stdout)
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 0:
		err = serve()
	case len(arguments) == 1 && arguments[0] == "version":
		fmt.Println(program)
	case len(arguments) == 2 && arguments[0] == "get":
		err = get(arguments[1])
	default:
		err = errors.New("usage: labweb [get URL | version]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "labweb:", err)
		os.Exit(1)
	}
}

// setting is a value of the environment, or what it is where the environment has none.
func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func newServer() (*server, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	s := &server{
		name:    setting("LABWEB_NAME", "labweb"),
		version: setting("LABWEB_VERSION", "1"),
		host:    host,
		title:   os.Getenv("LABWEB_TITLE"),
		files:   os.Getenv("LABWEB_FILES"),
		content: os.Getenv("LABWEB_CONTENT"),
		fetches: os.Getenv("LABWEB_FETCH") == "true",
		// No connection is kept: who asks for a Service means any of its pods, each time.
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	for _, pair := range strings.Split(os.Getenv("LABWEB_UPSTREAMS"), ",") {
		if pair == "" {
			continue
		}
		name, url, found := strings.Cut(pair, "=")
		if !found || name == "" || !strings.HasPrefix(url, "http://") {
			return nil, fmt.Errorf("LABWEB_UPSTREAMS: %q is not name=http://host", pair)
		}
		s.upstreams = append(s.upstreams, upstream{name, strings.TrimSuffix(url, "/")})
	}
	return s, nil
}

// serve answers until it is told to end, and then until those who ask have heard of it.
func serve() error {
	s, err := newServer()
	if err != nil {
		return err
	}
	drain, err := time.ParseDuration(setting("LABWEB_DRAIN", "5s"))
	if err != nil {
		return fmt.Errorf("LABWEB_DRAIN: %w", err)
	}
	listener, err := net.Listen("tcp", setting("LABWEB_LISTEN", ":8080"))
	if err != nil {
		return err
	}
	web := &http.Server{
		Handler:           s.logged(s.routes()),
		ReadHeaderTimeout: patience,
		ReadTimeout:       2 * patience,
		WriteTimeout:      4 * patience,
		IdleTimeout:       time.Minute,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	log.Printf("%s %s serves on %s", s.name, s.version, listener.Addr())
	select {
	case err := <-failed:
		return err
	case received := <-signals:
		log.Printf("%s: takes requests for %s more", received, drain)
	}
	s.draining.Store(true)
	select {
	case <-time.After(drain):
	case <-signals:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	return web.Shutdown(ctx)
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.root)
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, s.api(r.Context())) })
	mux.HandleFunc("GET /hostname", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.host) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.version) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	if s.fetches {
		mux.HandleFunc("GET /fetch", s.fetch)
	}
	if s.files != "" {
		mux.HandleFunc("GET /files/{name}", s.readFile)
		mux.HandleFunc("PUT /files/{name}", s.writeFile)
	}
	return mux
}

// ready tells who balances to go elsewhere once this server is ending.
func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *server) root(w http.ResponseWriter, r *http.Request) {
	if s.title != "" {
		s.page(w, s.api(r.Context()))
		return
	}
	writeJSON(w, s.api(r.Context()))
}

// api gathers what this service says and what those behind it say, which are asked at once.
func (s *server) api(ctx context.Context) answer {
	own := answer{Name: s.name, Version: s.version, Host: s.host}
	if s.content != "" {
		if text, err := os.ReadFile(s.content); err != nil {
			own.Error = err.Error()
		} else if !json.Valid(text) {
			own.Error = s.content + " is not JSON"
		} else {
			own.Content = text
		}
	}
	if len(s.upstreams) == 0 {
		return own
	}
	own.Upstreams = make(map[string]answer, len(s.upstreams))
	var group sync.WaitGroup
	var lock sync.Mutex
	for _, one := range s.upstreams {
		group.Go(func() {
			said := s.ask(ctx, one)
			lock.Lock()
			defer lock.Unlock()
			own.Upstreams[one.name] = said
		})
	}
	group.Wait()
	return own
}

func (s *server) ask(ctx context.Context, one upstream) answer {
	var said answer
	status, body, err := s.load(ctx, one.url+"/api")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	if err != nil {
		return answer{Name: one.name, Error: err.Error()}
	}
	return said
}

// load gets a URL: its status and at most maxBytes of its answer.
func (s *server) load(ctx context.Context, url string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBytes))
	return response.StatusCode, body, err
}

// fetch asks another server, so that one outside can see what the pods' network lets through.
func (s *server) fetch(w http.ResponseWriter, r *http.Request) {
	url := r.URL.Query().Get("url")
	if !strings.HasPrefix(url, "http://") {
		http.Error(w, "url is not an http address", http.StatusBadRequest)
		return
	}
	status, body, err := s.load(r.Context(), url)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write(body)
}

// folder is the root of /files/, out of which no name leads.
func (s *server) folder(w http.ResponseWriter, use func(*os.Root) error) {
	root, err := os.OpenRoot(s.files)
	if err == nil {
		defer root.Close()
		err = use(root)
	}
	if errors.Is(err, os.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusNotFound)
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *server) readFile(w http.ResponseWriter, r *http.Request) {
	s.folder(w, func(root *os.Root) error {
		file, err := root.Open(r.PathValue("name"))
		if err != nil {
			return err
		}
		defer file.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		_, err = io.Copy(w, file)
		return err
	})
}

// writeFile answers once the content is on the disk.
func (s *server) writeFile(w http.ResponseWriter, r *http.Request) {
	s.folder(w, func(root *os.Root) error {
		content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
		if err != nil {
			return err
		}
		file, err := root.Create(r.PathValue("name"))
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := file.Write(content); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		w.WriteHeader(http.StatusCreated)
		return nil
	})
}

// status remembers what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// logged writes a line per request, but for those of probes, and ends connections while draining.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		begun, seen := time.Now(), &status{w, http.StatusOK}
		next.ServeHTTP(seen, r)
		if r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
			log.Printf("%s %q %d %s from %s", r.Method, r.RequestURI, seen.code, time.Since(begun).Round(time.Microsecond), r.RemoteAddr)
		}
	})
}

func writeJSON(w http.ResponseWriter, said answer) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(said)
}

// get prints what a URL answers.
func get(url string) error {
	s, err := newServer()
	if err != nil {
		return err
	}
	code, body, err := s.load(context.Background(), url)
	if err != nil {
		return err
	}
	os.Stdout.Write(body)
	if code != http.StatusOK {
		return fmt.Errorf("%s: status %d", url, code)
	}
	return nil
}
