//! What a lake has none of, such as indexes, constraints and triggers: tables of catalogs that clients join and that have
//! no rows. Written as `tables` reads them.

pub(crate) const PG_CATALOG: &[&str] = &[
    "pg_attrdef oid:i adrelid:i adnum:i adbin:t",
    "pg_description objoid:i classoid:i objsubid:i description:t",
    "pg_shdescription objoid:i classoid:i description:t",
    "pg_index indexrelid:i indrelid:i indnatts:i indnkeyatts:i indisunique:b indnullsnotdistinct:b indisprimary:b \
     indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b \
     indisreplident:b indkey:l indcollation:l indclass:l indoption:l indexprs:t indpred:t",
    "pg_indexes schemaname:t tablename:t indexname:t tablespace:t indexdef:t",
    "pg_constraint oid:i conname:t connamespace:i contype:t condeferrable:b condeferred:b convalidated:b conrelid:i \
     contypid:i conindid:i conparentid:i confrelid:i confupdtype:t confdeltype:t confmatchtype:t conislocal:b \
     coninhcount:i connoinherit:b conkey:l confkey:l conpfeqop:l conppeqop:l conffeqop:l conexclop:l conbin:t",
    "pg_inherits inhrelid:i inhparent:i inhseqno:i inhdetachpending:b",
    "pg_partitioned_table partrelid:i partstrat:t partnatts:i partdefid:i partattrs:l partclass:l partcollation:l partexprs:t",
    "pg_collation oid:i collname:t collnamespace:i collowner:i collprovider:t collisdeterministic:b collencoding:i \
     collcollate:t collctype:t colliculocale:t collversion:t",
    "pg_enum oid:i enumtypid:i enumsortorder:f enumlabel:t",
    "pg_range rngtypid:i rngsubtype:i rngmultitypid:i rngcollation:i rngsubopc:i rngcanonical:t rngsubdiff:t",
    "pg_proc oid:i proname:t pronamespace:i proowner:i prolang:i procost:f prorows:f provariadic:i prosupport:t \
     prokind:t prosecdef:b proleakproof:b proisstrict:b proretset:b provolatile:t proparallel:t pronargs:i \
     pronargdefaults:i prorettype:i proargtypes:l proallargtypes:l proargmodes:t proargnames:t proargdefaults:t \
     protrftypes:l prosrc:t probin:t proconfig:t proacl:l",
    "pg_aggregate aggfnoid:i aggkind:t aggnumdirectargs:i",
    "pg_language oid:i lanname:t lanowner:i lanispl:b lanpltrusted:b",
    "pg_operator oid:i oprname:t oprnamespace:i oprleft:i oprright:i oprresult:i oprcode:t",
    "pg_opclass oid:i opcmethod:i opcname:t opcnamespace:i opcfamily:i opcintype:i opcdefault:b opckeytype:i",
    "pg_cast oid:i castsource:i casttarget:i castfunc:i castcontext:t castmethod:t",
    "pg_trigger oid:i tgrelid:i tgparentid:i tgname:t tgfoid:i tgtype:i tgenabled:t tgisinternal:b tgconstrrelid:i \
     tgconstrindid:i tgconstraint:i tgdeferrable:b tginitdeferred:b tgnargs:i tgattr:l tgargs:t tgqual:t",
    "pg_event_trigger oid:i evtname:t evtevent:t evtowner:i evtfoid:i evtenabled:t evttags:t",
    "pg_rewrite oid:i rulename:t ev_class:i ev_type:t ev_enabled:t is_instead:b ev_qual:t ev_action:t",
    "pg_rules schemaname:t tablename:t rulename:t definition:t",
    "pg_policy oid:i polname:t polrelid:i polcmd:t polpermissive:b polroles:t polqual:t polwithcheck:t",
    "pg_policies schemaname:t tablename:t policyname:t permissive:t roles:t cmd:t qual:t with_check:t",
    "pg_publication oid:i pubname:t pubowner:i puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b",
    "pg_publication_rel oid:i prpubid:i prrelid:i prqual:t prattrs:l",
    "pg_publication_namespace oid:i pnpubid:i pnnspid:i",
    "pg_publication_tables pubname:t schemaname:t tablename:t",
    "pg_subscription oid:i subdbid:i subname:t subowner:i subenabled:b",
    "pg_statistic_ext oid:i stxrelid:i stxname:t stxnamespace:i stxowner:i stxstattarget:i stxkeys:l stxkind:t stxexprs:t",
    "pg_sequence seqrelid:i seqtypid:i seqstart:i seqincrement:i seqmax:i seqmin:i seqcache:i seqcycle:b",
    "pg_sequences schemaname:t sequencename:t sequenceowner:t data_type:t start_value:i min_value:i max_value:i \
     increment_by:i cycle:b cache_size:i last_value:i",
    "pg_views schemaname:t viewname:t viewowner:t definition:t",
    "pg_matviews schemaname:t matviewname:t matviewowner:t tablespace:t hasindexes:b ispopulated:b definition:t",
    "pg_depend classid:i objid:i objsubid:i refclassid:i refobjid:i refobjsubid:i deptype:t",
    "pg_shdepend dbid:i classid:i objid:i objsubid:i refclassid:i refobjid:i deptype:t",
    "pg_extension oid:i extname:t extowner:i extnamespace:i extrelocatable:b extversion:t extconfig:l extcondition:t",
    "pg_available_extensions name:t default_version:t installed_version:t comment:t",
    "pg_foreign_table ftrelid:i ftserver:i ftoptions:t",
    "pg_foreign_server oid:i srvname:t srvowner:i srvfdw:i srvtype:t srvversion:t srvacl:t srvoptions:t",
    "pg_foreign_data_wrapper oid:i fdwname:t fdwowner:i fdwhandler:i fdwvalidator:i fdwacl:t fdwoptions:t",
    "pg_tablespace oid:i spcname:t spcowner:i spcacl:l spcoptions:t",
    "pg_auth_members oid:i roleid:i member:i grantor:i admin_option:b",
    "pg_group groname:t grosysid:i grolist:l",
    "pg_shadow usename:t usesysid:i usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:t useconfig:t",
    "pg_db_role_setting setdatabase:i setrole:i setconfig:t",
    "pg_default_acl oid:i defaclrole:i defaclnamespace:i defaclobjtype:t defaclacl:t",
    "pg_conversion oid:i conname:t connamespace:i conowner:i",
    "pg_ts_config oid:i cfgname:t cfgnamespace:i cfgowner:i cfgparser:i",
    "pg_prepared_xacts transaction:i gid:t prepared:t owner:t database:t",
    "pg_locks locktype:t database:i relation:i pid:i mode:t granted:b",
    "pg_stat_activity datid:i datname:t pid:i usesysid:i usename:t application_name:t client_addr:t backend_start:t \
     query_start:t state:t query:t backend_type:t",
    "pg_stat_user_tables relid:i schemaname:t relname:t seq_scan:i n_live_tup:i n_dead_tup:i last_analyze:t",
    "pg_statio_user_tables relid:i schemaname:t relname:t heap_blks_read:i",
    "pg_stat_database datid:i datname:t numbackends:i",
    "pg_stat_replication pid:i usename:t state:t",
    "pg_replication_slots slot_name:t plugin:t slot_type:t database:t active:b",
    "pg_stat_ssl pid:i ssl:b version:t cipher:t bits:i",
    "pg_stat_gssapi pid:i gss_authenticated:b principal:t encrypted:b",
    "pg_timezone_names name:t abbrev:t utc_offset:t is_dst:b",
];

pub(crate) const INFORMATION_SCHEMA: &[&str] = &[
    "views table_catalog:t table_schema:t table_name:t view_definition:t check_option:t is_updatable:t \
     is_insertable_into:t is_trigger_updatable:t is_trigger_deletable:t is_trigger_insertable_into:t",
    "table_constraints constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t \
     table_name:t constraint_type:t is_deferrable:t initially_deferred:t enforced:t nulls_distinct:t",
    "key_column_usage constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t \
     table_name:t column_name:t ordinal_position:i position_in_unique_constraint:i",
    "constraint_column_usage table_catalog:t table_schema:t table_name:t column_name:t constraint_catalog:t \
     constraint_schema:t constraint_name:t",
    "constraint_table_usage table_catalog:t table_schema:t table_name:t constraint_catalog:t constraint_schema:t \
     constraint_name:t",
    "referential_constraints constraint_catalog:t constraint_schema:t constraint_name:t unique_constraint_catalog:t \
     unique_constraint_schema:t unique_constraint_name:t match_option:t update_rule:t delete_rule:t",
    "check_constraints constraint_catalog:t constraint_schema:t constraint_name:t check_clause:t",
    "routines specific_catalog:t specific_schema:t specific_name:t routine_catalog:t routine_schema:t routine_name:t \
     routine_type:t data_type:t routine_definition:t external_language:t",
    "parameters specific_catalog:t specific_schema:t specific_name:t ordinal_position:i parameter_mode:t \
     parameter_name:t data_type:t",
    "sequences sequence_catalog:t sequence_schema:t sequence_name:t data_type:t numeric_precision:i start_value:t \
     minimum_value:t maximum_value:t increment:t cycle_option:t",
    "triggers trigger_catalog:t trigger_schema:t trigger_name:t event_manipulation:t event_object_schema:t \
     event_object_table:t action_statement:t action_orientation:t action_timing:t",
    "domains domain_catalog:t domain_schema:t domain_name:t data_type:t",
    "element_types object_catalog:t object_schema:t object_name:t object_type:t collection_type_identifier:t data_type:t \
     udt_name:t",
    "table_privileges grantor:t grantee:t table_catalog:t table_schema:t table_name:t privilege_type:t is_grantable:t",
    "role_table_grants grantor:t grantee:t table_catalog:t table_schema:t table_name:t privilege_type:t is_grantable:t",
    "column_privileges grantor:t grantee:t table_catalog:t table_schema:t table_name:t column_name:t privilege_type:t",
    "enabled_roles role_name:t",
    "applicable_roles grantee:t role_name:t is_grantable:t",
    "character_sets character_set_name:t character_repertoire:t form_of_use:t",
    "collations collation_catalog:t collation_schema:t collation_name:t",
];

/// Whether a table of the catalogs has no rows, whoever asks.
pub(crate) fn is_empty(name: &str) -> bool {
    let named = |spec: &&&str| spec.split_whitespace().next() == Some(name);
    PG_CATALOG.iter().chain(INFORMATION_SCHEMA).any(|spec| named(&spec))
}
