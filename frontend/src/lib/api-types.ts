/** Short names for the generated schema's types; nothing is described twice. */
import type { components } from "./api-schema";

type Schemas = components["schemas"];

export type User = Schemas["User"];
export type Session = Schemas["Session"];
export type Workspace = Schemas["Workspace"];
export type Project = Schemas["Project"];
export type CatalogEntry = Schemas["CatalogEntry"];
/** A job as lists and live messages show it: without spec and result. */
export type JobSummary = Schemas["JobSummary"];
export type Job = Schemas["Job"];
export type JobKind = Job["kind"];
export type JobState = Job["state"];
export type SubmitJob = Schemas["SubmitJobRequest"];
export type EstimateJob = Schemas["EstimateJobRequest"];
export type Estimate = Schemas["Estimate"];
export type TrainingEstimate = Schemas["TrainingEstimate"];
/** Degrees of the axes of the ranks' mesh. */
export type Mesh = Schemas["Mesh"];
export type Resources = Schemas["Resources"];
export type JobEvent = Schemas["Event"];
export type Attempt = Schemas["Attempt"];
export type Checkpoint = Schemas["Checkpoint"];
export type JobFile = Schemas["JobFile"];
export type Series = Schemas["Series"];
export type Curve = Schemas["Curve"];
export type LogPage = Schemas["LogPage"];
export type ApiToken = Schemas["ApiToken"];
export type CreateToken = Schemas["CreateTokenRequest"];
export type Upload = Schemas["Upload"];
export type FileEntry = Schemas["FileEntry"];
export type Dataset = Schemas["Dataset"];
export type CreateDataset = Schemas["CreateDatasetRequest"];
export type DatasetStatistics = Schemas["DatasetStatistics"];
export type LengthBucket = Schemas["LengthBucket"];
export type Preview = Schemas["Preview"];
export type DatasetVersion = Schemas["DatasetVersion"];
export type Model = Schemas["Model"];
export type ModelVersion = Schemas["ModelVersion"];
/** A version as lists show it: without card, config and files. */
export type ModelVersionSummary = Schemas["ModelVersionSummary"];
/** The versions of a model side by side, and what one of them was measured to be. */
export type Comparison = Schemas["Comparison"];
export type ComparedVersion = Schemas["ComparedVersion"];
export type ComparisonColumn = Schemas["Column"];
export type Cell = Schemas["Cell"];
export type Verdict = Schemas["Verdict"];
export type Promotion = Schemas["Promotion"];
export type Promote = Schemas["PromoteRequest"];
export type StageChange = Schemas["StageChange"];
export type Node = Schemas["Node"];
/** One slot of a node and what holds it, where the person may see that job. */
export type Device = Schemas["Device"];
export type Pool = Schemas["Pool"];
