module labctl/pause

go 1.26.8

