-- What of privileges $1 on tables $2 the role in use lacks.
SELECT ARRAY(
    SELECT wanted.privilege || ' ON ' || wanted.place
    FROM unnest($1::text[], $2::text[]) AS wanted (privilege, place)
    WHERE NOT has_table_privilege(wanted.place, wanted.privilege)
    ORDER BY 1
) AS "missing!"
