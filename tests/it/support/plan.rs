//! What PostgreSQL visits for a statement of the service.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

/// What a statement is planned for.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// The values that it is run with.
    Custom,
    /// Any values.
    Generic,
}

/// A step of a plan.
#[derive(Debug)]
pub struct Step {
    pub kind: String,
    /// The table that it reads.
    pub table: Option<String>,
    /// How many rows it looked at.
    pub rows: i64,
}

/// The steps of a statement that is run with these numbers, in a transaction that comes to nothing.
pub async fn steps(pool: &PgPool, statement: &str, plan: Plan, numbers: &[i64]) -> Vec<Step> {
    let mode = match plan {
        Plan::Custom => "force_custom_plan",
        Plan::Generic => "force_generic_plan",
    };
    let types = vec!["bigint"; numbers.len()].join(", ");
    let numbers = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let mut session = pool.begin().await.expect("a transaction");
    let prepare = format!("SET LOCAL plan_cache_mode = {mode}; PREPARE planned ({types}) AS {statement}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *session).await.expect("a plan");
    let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE planned ({numbers})");
    let explain = sqlx::query_scalar::<_, Value>(AssertSqlSafe(explain)).persistent(false);
    let plan = explain.fetch_one(&mut *session).await.expect("a plan");
    sqlx::raw_sql("DEALLOCATE planned").execute(&mut *session).await.expect("an end");
    session.rollback().await.expect("an end");
    let mut steps = Vec::new();
    collect(&plan[0]["Plan"], &mut steps);
    steps
}

fn collect(node: &Value, steps: &mut Vec<Step>) {
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let rows = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
    let text = |name: &str| node[name].as_str().map(str::to_owned);
    steps.push(Step { kind: text("Node Type").expect("a kind"), table: text("Relation Name"), rows: rows as i64 });
    for below in node["Plans"].as_array().into_iter().flatten() {
        collect(below, steps);
    }
}
