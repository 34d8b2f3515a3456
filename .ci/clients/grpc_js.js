// Asks a server by reflection alone, with both of its services: node grpc_js.js ADDRESS; prints SHA-256 of the images.
const { createHash } = require("node:crypto");
const grpc = require("@grpc/grpc-js");
const { GrpcReflection } = require("grpc-js-reflection-client");

const address = process.argv[2];
const plaintext = grpc.credentials.createInsecure();

// protobuf.js makes a list of entries of a map whose definition comes by reflection.
const parameters = [
  { key: "seed", value: { int64_param: 7 } },
  { key: "count", value: { int64_param: 3 } },
];

async function packageOf(service) {
  const described = await new GrpcReflection(address, plaintext).getDescriptorBySymbol(service);
  return described.getPackageObject({ keepCase: true, longs: String, enums: String });
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

function call(client, method, request) {
  return new Promise((resolve, reject) =>
    client[method](request, (error, reply) => (error ? reject(error) : resolve(reply))),
  );
}

async function askInferenceService() {
  const { inference } = await packageOf("inference.GRPCInferenceService");
  const client = new inference.GRPCInferenceService(address, plaintext);
  const reply = await call(client, "ModelInfer", { model_name: "digits", parameters });
  console.log(sha256(reply.raw_output_contents[0]));
  const stream = client.ModelStreamInfer();
  stream.write({ model_name: "digits", id: "one", parameters });
  stream.end();
  for await (const streamed of stream) {
    console.log(sha256(streamed.infer_response.raw_output_contents[0]));
  }
  try {
    await call(client, "ModelInfer", { model_name: "faces" });
  } catch (error) {
    if (error.code !== grpc.status.NOT_FOUND) throw error;
  }
}

async function askGeneratorService() {
  const { ganserve } = await packageOf("ganserve.v1.GeneratorService");
  const client = new ganserve.v1.GeneratorService(address, plaintext);
  const query = { model: { name: "digits" }, address: { seed: 7, count: 3 } };
  const reply = await call(client, "Generate", { query });
  console.log(sha256(reply.batch.pixels));
}

askInferenceService().then(askGeneratorService);
