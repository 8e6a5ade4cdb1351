"""The grammar of SOQL, LALR.

Keywords are no reserved words: `Order` is an object, and `FROM Order` is read as one. The lexer knows what
may come next, so only an alias must not look like a keyword.
"""

from __future__ import annotations

GRAMMAR = r"""
    query: SELECT items FROM PATH [alias] [scope] [where] [group] [order] [limit] [offset] view* [ALL_ROWS]
    items: item ("," item)*
    ?item: expression [ALIAS] -> selected
         | FIELDS "(" PATH ")" -> fields_of
         | "(" query ")" -> child_query
    alias: ALIAS
    scope: USING_SCOPE PATH
    where: WHERE condition
    group: GROUP_BY expression ("," expression)* [HAVING condition]
    order: ORDER_BY ordering ("," ordering)*
    ordering: expression [DIRECTION] [NULLS]
    limit: LIMIT INTEGER
    offset: OFFSET INTEGER
    view: FOR PATH ("," PATH)*

    ?condition: term
              | term (AND term)+ -> every
              | term (OR term)+ -> some
    ?term: simple
         | NOT simple -> negated
    ?simple: "(" condition ")"
           | expression OPERATOR literal -> comparison
           | expression LIKE literal -> comparison
           | expression IN collection -> member
           | expression NOT_IN collection -> stranger
    ?collection: TEXT_LIST -> text_list
               | "(" literal ("," literal)* ")" -> literals
               | "(" query ")"

    expression: PATH
              | PATH "(" [PATH] ")" -> call

    ?literal: STRING -> string
            | DATETIME -> moment
            | DATE -> day
            | NUMBER -> number
            | NAMED -> named

    SELECT.5: /SELECT\b/i
    FROM.5: /FROM\b/i
    USING_SCOPE.5: /USING\s+SCOPE\b/i
    WHERE.5: /WHERE\b/i
    GROUP_BY.5: /GROUP\s+BY\b/i
    HAVING.5: /HAVING\b/i
    ORDER_BY.5: /ORDER\s+BY\b/i
    LIMIT.5: /LIMIT\b/i
    OFFSET.5: /OFFSET\b/i
    ALL_ROWS.5: /ALL\s+ROWS\b/i
    FOR.5: /FOR\b/i
    FIELDS.5: /FIELDS(?=\s*\()/i
    DIRECTION.5: /(ASC|DESC)\b/i
    NULLS.5: /NULLS\s+(FIRST|LAST)\b/i
    AND.5: /AND\b/i
    OR.5: /OR\b/i
    NOT_IN.6: /NOT\s+IN\b/i
    NOT.5: /NOT\b/i
    IN.5: /IN\b/i
    LIKE.5: /LIKE\b/i
    OPERATOR: /!=|<>|<=|>=|=|<|>/
    STRING: /'(\\.|[^'\\])*'/s
    TEXT_LIST.7: /\(\s*'(\\.|[^'\\])*'(\s*,\s*'(\\.|[^'\\])*')*\s*\)/s
    DATETIME.4: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)/i
    DATE.3: /\d{4}-\d\d-\d\d/
    NUMBER.2: /[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
    INTEGER: /\d+/
    NAMED: /[A-Za-z_]+(:\d+)?/
    PATH: /(?!(FROM|SELECT|WHERE)\b)[A-Za-z]\w*(\.[A-Za-z]\w*)*/i
    ALIAS: /(?!(AND|ASC|DESC|FROM|GROUP|HAVING|IN|LIKE|LIMIT|NOT|OR|SELECT|USING|WHERE|WITH)\b)[A-Za-z]\w*/i
    %import common.WS
    %ignore WS
"""
