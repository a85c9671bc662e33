module example/calculator

go 1.19
