/** The mesh drawn: a block for each copy of the model, a row for each pipeline stage, a cell for each rank. */
import { Box, Group, Stack, Text } from "@mantine/core";
import type { Mesh } from "@/lib/api-types";
import classes from "./mesh-map.module.css";
import { holdingOf, replicasOf } from "./mesh-layout";

/** More cells than this would be a texture, no picture. */
const MOST_RANKS = 256;

export function MeshMap({ mesh }: { mesh: Mesh }) {
  const replicas = replicasOf(mesh);
  const numRanks = mesh.pp * mesh.dp_replicate * mesh.dp_shard * mesh.tp;
  const perReplica = numRanks / mesh.dp_replicate;
  const shown = replicas.slice(0, Math.max(1, Math.floor(MOST_RANKS / perReplica)));
  return (
    <Stack gap="xs" data-testid="mesh-map">
      <Text fz="xs" c="dimmed">
        {mesh.dp_replicate === 1 ? "One copy of the model" : `${mesh.dp_replicate} copies of the model`}, each on{" "}
        {perReplica === 1 ? "one rank" : `${perReplica} ranks`}
      </Text>
      {perReplica <= MOST_RANKS && (
        <Group gap="xs" align="flex-start">
          {shown.map((replica) => (
            <Box
              key={replica.index}
              component="ul"
              className={classes["replica"]}
              aria-label={`Copy ${replica.index + 1}`}
            >
              {replica.stages.map((places, stage) => (
                <li key={stage} className={classes["stage"]}>
                  {places.map((place) => {
                    const words = `Rank ${place.rank}: ${holdingOf(place, mesh)}`;
                    return (
                      <span key={place.rank} className={classes["rank"]} role="img" aria-label={words} title={words}>
                        {place.rank}
                      </span>
                    );
                  })}
                </li>
              ))}
            </Box>
          ))}
        </Group>
      )}
      {shown.length < replicas.length && (
        <Text fz="xs" c="dimmed">
          and {replicas.length - shown.length} more like these
        </Text>
      )}
      <Text fz="xs" c="dimmed">
        {[mesh.pp > 1 && "a row is a pipeline stage", perReplica > 1 && "a cell is a rank; hover to see what it holds"]
          .filter(Boolean)
          .join(", ")}
      </Text>
    </Stack>
  );
}
