"""What shows that bpx is right: gradients against differences, backends against each other, one step number by number."""
