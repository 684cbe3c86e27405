// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * {@code ioasis host} as a process of its own, on the example of the documents and on the machine's
 * programs. Needs a C compiler, as the README says of the tests.
 */
@Timeout(120)
class HostCommandTest {
    @TempDir static Path folder;
    private static Path example;
    private static Path quirk;
    private static Path iommu;

    private record Result(int code, String out, String err) {}

    @BeforeAll
    static void compile() throws Exception {
        Path source = Path.of("../docs/examples/ioas.c");
        assertThat(Files.readAllLines(source)).hasSizeLessThanOrEqualTo(30);
        example = compile(source, "ioas");
        quirk = compile(Path.of("src/test/resources/org/ioasis/cli/quirk.c"), "quirk");
        iommu = compile(Path.of("src/test/resources/org/ioasis/cli/iommu.c"), "iommu");
    }

    private static Path compile(Path source, String name) throws Exception {
        Path program = folder.resolve(name);
        Result compiled =
                execute(List.of("cc", "-Wall", "-o", program.toString(), source.toString()));
        assertThat(compiled).isEqualTo(new Result(0, "", ""));
        return program;
    }

    @Test
    void exampleMapsAPageAndTheTraceSaysWhichRuleRefusedTheSecond() throws Exception {
        Path trace = folder.resolve("calls.trace");

        Result result = host("--trace", trace.toString(), "--", example.toString());

        assertThat(result.code()).isZero();
        assertThat(result.out())
                .isEqualTo("usable: 0x0 to 0xffffffffffffffff\nthe same again: File exists\n");
        assertThat(Files.readString(trace))
                .contains("IOMMU_IOAS_ALLOC, {size=12 flags=0 out_ioas_id=0}) = 0 {out_ioas_id=1}")
                .contains("= -1 EEXIST: ")
                .endsWith("last close of /dev/iommu\n");
    }

    @Test
    void mistakesOfLinuxAreAnsweredWhereTheyAreAskedFor() throws Exception {
        assertThat(host("--mock", "--", quirk.toString()))
                .isEqualTo(new Result(0, "a hole in the range: Invalid argument\n", ""));
        assertThat(host("--mock", "--kernel-quirks", "--", quirk.toString()))
                .isEqualTo(new Result(0, "a hole in the range: not told\n", ""));
    }

    @Test
    void programWithoutUsHasNoDevice() throws Exception {
        assertThat(execute(List.of(example.toString())).code()).isEqualTo(1);
    }

    @Test
    void statusOutputAndSignalsAreThePrograms() throws Exception {
        assertThat(host("--", "sh", "-c", "echo out; echo err >&2; exit 42"))
                .isEqualTo(new Result(42, "out\n", "err\n"));
        // As Java shows a process that a signal has ended.
        assertThat(host("--", "sh", "-c", "kill -KILL $$").code()).isEqualTo(128 + 9);
        assertThat(host("--", "sh", "-c", "kill -SEGV $$").code()).isEqualTo(128 + 11);
    }

    @Test
    void signalThatWeGetIsForwarded() throws Exception {
        Process host =
                new ProcessBuilder(
                                command(
                                        "--",
                                        "sh",
                                        "-c",
                                        "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.05; done"))
                        .redirectErrorStream(true)
                        .start();
        try (var lines = host.inputReader(UTF_8)) {
            assertThat(lines.readLine()).isEqualTo("ready");
            // The program runs a moment before its signals are forwarded: ask until it hears.
            while (host.isAlive() && !lines.ready()) {
                host.toHandle().destroy();
                host.waitFor(100, java.util.concurrent.TimeUnit.MILLISECONDS);
            }
            assertThat(lines.readLine()).isEqualTo("told");
        }
        assertThat(host.waitFor()).isEqualTo(5);
    }

    @Test
    void whatCannotBeServedIsSaidAtTheStart() throws Exception {
        Path small = folder.resolve("small");
        byte[] header = new byte[64];
        byte[] magic = {0x7f, 'E', 'L', 'F', 1};
        System.arraycopy(magic, 0, header, 0, magic.length);
        Files.write(small, header);

        Result refused = host("--", small.toString());

        assertThat(refused.code()).isEqualTo(69);
        assertThat(refused.err()).contains("32-bit program");
        assertThat(host("--", "ioasis-no-such-program"))
                .isEqualTo(
                        new Result(
                                127, "", "ioasis: there is no program ioasis-no-such-program\n"));
        Path plain = Files.createFile(folder.resolve("plain"));
        assertThat(host("--", plain.toString()))
                .isEqualTo(
                        new Result(
                                126,
                                "",
                                "ioasis: %s cannot be executed: permission denied\n"
                                        .formatted(plain)));
    }

    @Test
    void optionsBehindTheProgramAreThePrograms() throws Exception {
        assertThat(host("sh", "-c", "exit 7").code()).isEqualTo(7);
        assertThat(host("--mock", "echo", "--mock")).isEqualTo(new Result(0, "--mock\n", ""));
    }

    @Test
    void programInheritsNothingOfTheJvms() throws Exception {
        Result listed = host("--", "sh", "-c", "ls -l /proc/$$/fd");

        assertThat(listed.code()).isZero();
        assertThat(listed.out())
                .contains("->")
                .doesNotContain(".jar")
                .doesNotContain("lib/modules");
    }

    @ParameterizedTest
    @CsvSource({
        "'', 0, 0, Operation not supported",
        "vtd, 1, 24, yes",
        "smmuv3, 2, 40, yes",
        "amd, 4, 16, yes"
    })
    void programTakesTheIommuOfItsDevicesForWhatItIsAskedToBe(
            String kind, int type, int bytes, String parent) throws Exception {
        List<String> words = new ArrayList<>(List.of("--device", "random=rng"));
        if (!kind.isEmpty()) {
            words.addAll(List.of("--iommu", kind));
        }
        words.addAll(List.of("--", iommu.toString()));

        assertThat(host(words.toArray(String[]::new)))
                .isEqualTo(
                        new Result(
                                0,
                                "type %d, %d bytes, nesting parent: %s%n"
                                        .formatted(type, bytes, parent),
                                ""));
    }

    @Test
    void anIommuWithoutDevicesIsRefused() throws Exception {
        Result refused = host("--iommu", "vtd", "--", "true");

        assertThat(refused.code()).isEqualTo(2);
        assertThat(refused.err()).contains("--iommu is that of devices");
    }

    @Test
    void devicesAreFoundUnderDevVfioAndInSysfs() throws Exception {
        Path image = Files.write(folder.resolve("disk.img"), new byte[4096]);
        String look =
                "d=/sys/bus/pci/devices/10a5:00:00.0; cat $d/vendor $d/device; readlink $d/iommu_group;"
                        + " ls /dev/vfio; test -c /dev/vfio/devices/vfio0 && echo device;"
                        + " test -e /dev/vfio/devices/vfio1 || echo one";

        assertThat(host("--device", "disk=blk,file=" + image, "--", "sh", "-c", look))
                .isEqualTo(
                        new Result(
                                0,
                                """
                                0x1af4
                                0x1042
                                ../../../../kernel/iommu_groups/0
                                0
                                devices
                                vfio
                                device
                                one
                                """,
                                ""));
        assertThat(host("--device", "disk=blk", "--", "true").code()).isEqualTo(2);
        Path trace = folder.resolve("refused.trace");
        assertThat(
                        host(
                                        "--trace",
                                        trace.toString(),
                                        "--mock",
                                        "--device",
                                        "r=rng",
                                        "--",
                                        "true")
                                .code())
                .isEqualTo(2);
        assertThat(trace).doesNotExist();
    }

    private static Result host(String... arguments) throws Exception {
        return execute(command(arguments));
    }

    private static List<String> command(String... arguments) {
        List<String> words =
                new ArrayList<>(
                        List.of(
                                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                                "--class-path",
                                String.join(
                                        java.io.File.pathSeparator,
                                        System.getProperty("jdk.module.path", ""),
                                        System.getProperty("java.class.path", "")),
                                "--enable-native-access=ALL-UNNAMED",
                                "org.ioasis.cli.Main",
                                "host"));
        words.addAll(Arrays.asList(arguments));
        return words;
    }

    private static Result execute(List<String> words) throws IOException, InterruptedException {
        Path out = folder.resolve("stdout");
        Path err = folder.resolve("stderr");
        int code =
                new ProcessBuilder(words)
                        .redirectOutput(out.toFile())
                        .redirectError(err.toFile())
                        .start()
                        .waitFor();
        return new Result(code, Files.readString(out), Files.readString(err));
    }
}
