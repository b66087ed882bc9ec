-- For whom no ordinary trigger fires: sessions of these roles begin so, in this database or everywhere. NULL is everybody, or everywhere.
SELECT quote_ident(r.rolname) AS "role?", quote_ident(d.datname) AS "database?"
FROM pg_catalog.pg_db_role_setting AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
WHERE (s.setdatabase = 0 OR d.datname = current_database())
  AND 'session_replication_role=replica' = ANY (s.setconfig)
UNION
SELECT NULL, NULL WHERE (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'session_replication_role') = 'replica'
ORDER BY 1, 2
