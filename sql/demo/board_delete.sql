DELETE FROM boards WHERE id = $1;
