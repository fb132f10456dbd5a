"""What ``kmodel fuzz`` fuzzes: one small file a target."""
