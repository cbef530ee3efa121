module labctl/labweb

go 1.26.8
