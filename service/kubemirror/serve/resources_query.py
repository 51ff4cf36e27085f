"""Parameters of /resources."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kubemirror.serve.output import Carried, Output
from kubemirror.serve.view_query import Listed, ViewQuery
from kubemirror.views.grouping import parse_group
from kubemirror.views.table import Table, TableColumn


class OneQuery(BaseModel):
    """Parameters of one object's path."""

    model_config = ConfigDict(populate_by_name=True)

    output: Annotated[Output | None, Field(description="Form; default by Accept: page, JSON, curl's table.")] = None
    as_: Annotated[
        Carried, Field(alias="as", description="What JSON, YAML and NDJSON carry: objects, or the rows of the view.")
    ] = Carried.OBJECT


class ResourcesQuery(ViewQuery, OneQuery):
    """Parameters of a resource's path."""

    group: Annotated[
        list[str], Listed, Field(description="Counts of objects by these columns, instead of the objects.")
    ] = Field(default_factory=list)
    limit: Annotated[int | None, Field(ge=1, description="Rows per page; pages of HTML have 500.")] = None
    continue_: Annotated[str, Field(alias="continue", description="Token of the next page.")] = ""

    def groups(self, table: Table) -> list[TableColumn]:
        """The columns to count by. Raises 400."""
        with self.said("group"):
            return parse_group(",".join(self.group), table)
