-- For whom no ordinary trigger fires: sessions of these roles begin so, in this database or everywhere. NULL is everybody.
SELECT quote_ident(r.rolname) AS "role?", s.setdatabase <> 0 AS "here!"
FROM pg_catalog.pg_db_role_setting AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
  AND 'session_replication_role=replica' = ANY (s.setconfig)
UNION
SELECT NULL, false WHERE (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'session_replication_role') = 'replica'
ORDER BY 1
