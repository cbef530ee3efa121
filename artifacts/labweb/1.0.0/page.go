// Copyright (c) 2026 the labctl authors
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"sort"
)

// The page needs nothing from elsewhere: labs may have no network.
var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430; background: #f6f7f9 }
h1 { margin: 0 }
section { background: #fff; border: 1px solid #d8dde5; border-radius: 8px; padding: 1rem 1.25rem; margin: 1rem 0 }
section section { background: #fafbfc }
h2 { font-size: 1.1rem; margin: 0 0 .5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #eceff3; vertical-align: top }
small { color: #5b6675 }
.error { color: #a3151a }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<small id="served">served by {{.Said.Name}} {{.Said.Version}} in pod {{.Said.Host}}</small>
{{range .Services}}{{template "service" .}}{{end}}
</body>
</html>
{{define "service"}}<section id="{{.Name}}">
<h2>{{.Name}} {{with .Version}}<small>version {{.}}</small>{{end}} {{with .Host}}<small>in pod {{.}}</small>{{end}}</h2>
{{with .Error}}<p class="error">not available: {{.}}</p>{{end}}
{{with .Rows}}<table>
<tr>{{range $.Columns}}<th>{{.}}</th>{{end}}</tr>
{{range .}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</table>{{end}}
{{range .Services}}{{template "service" .}}{{end}}
</section>
{{end}}`))

// service is an answer laid out for the page: its content as a table, the services behind it below.
type service struct {
	Name, Version, Host, Error string
	Columns                    []string
	Rows                       [][]string
	Services                   []service
}

// laidOut turns an answer's content, a list of objects, into a table; anything else shows no table.
func laidOut(said answer) service {
	one := service{Name: said.Name, Version: said.Version, Host: said.Host, Error: said.Error, Services: behind(said)}
	var items []map[string]any
	if len(said.Content) == 0 || json.Unmarshal(said.Content, &items) != nil {
		return one
	}
	seen := map[string]bool{}
	for _, item := range items {
		for column := range item {
			if !seen[column] {
				seen[column] = true
				one.Columns = append(one.Columns, column)
			}
		}
	}
	sort.Strings(one.Columns)
	for _, item := range items {
		row := make([]string, len(one.Columns))
		for number, column := range one.Columns {
			if value, found := item[column]; found {
				row[number] = fmt.Sprint(value)
			}
		}
		one.Rows = append(one.Rows, row)
	}
	return one
}

// behind are the services behind one, by name, so that the page looks the same each time.
func behind(said answer) []service {
	names := make([]string, 0, len(said.Upstreams))
	for name := range said.Upstreams {
		names = append(names, name)
	}
	sort.Strings(names)
	services := make([]service, 0, len(names))
	for _, name := range names {
		services = append(services, laidOut(said.Upstreams[name]))
	}
	return services
}

func (s *server) page(w http.ResponseWriter, said answer) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	shown := struct {
		Title    string
		Said     answer
		Services []service
	}{s.title, said, behind(said)}
	if err := page.Execute(w, shown); err != nil {
		log.Printf("page: %v", err)
	}
}
