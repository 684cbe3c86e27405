// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import org.ioasis.config.ConfigException;
import org.ioasis.config.ConfigFile;
import org.ioasis.config.FlagConfig;
import org.ioasis.config.ServeConfig;
import org.ioasis.kind.Kinds;
import org.ioasis.live.TraceConfig;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.IommuTransport;
import org.ioasis.record.RecordConfig;
import org.ioasis.serve.Server;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * {@code ioasis serve}: the devices for a VMM that somebody else starts. Main thread; the end comes
 * on one of the JVM's.
 */
@Command(
        name = ServeCommand.NAME,
        description = {
            "Serve an IOMMU and the devices behind it to a VMM that is started elsewhere.",
            "Prints a line per socket when it is ready, then the arguments for QEMU. Ends on SIGTERM or SIGINT and"
                    + " removes its sockets and tables. With a trace SIGHUP makes it go on in the file that has the"
                    + " trace's name then; without one SIGHUP ends it too."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:ended by a signal",
            "1:a socket or a file cannot be made, or the configuration not be read",
            "2:wrong arguments, or a configuration with mistakes"
        })
final class ServeCommand implements Callable<Integer> {
    static final String NAME = "serve";

    /** Set by picocli before anything is called. */
    @SuppressWarnings("NullAway.Init")
    @Spec
    private CommandSpec spec;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "What to serve, as TOML (docs/config.md): several machines, several IOMMUs, every option.")
    private @Nullable Path config;

    @Option(
            names = "--iommu",
            paramLabel = "SOCKET",
            description = "Without --config: where the VMM connects the IOMMU.")
    private @Nullable Path iommu;

    @Option(
            names = "--vhost-user",
            description = {
                "The VMM attaches the IOMMU over vhost-user: it is QEMU's generic vhost-user device (QEMU 11:"
                        + " vhost-user-test-device-pci). What is behind it is attached over vfio-user as ever."
            })
    private boolean isVhostUser;

    @Option(
            names = "--present",
            paramLabel = "ID[-ID]",
            description = {
                "An endpoint that the driver may ask for and whose accesses do not come through us, because the VIOT"
                        + " names more than is served; repeatable. Linux 7 gives up the whole IOMMU when one of its"
                        + " table's functions is not known."
            })
    private List<String> present = List.of();

    @Option(
            names = "--msi",
            paramLabel = "FIRST-LAST|none|DTB",
            description = {
                "Where the machine's interrupt controller takes messages (default: x86's, 0xfee00000-0xfeefffff). For a"
                        + " virt machine of arm64 with GICv2m 0x08020000-0x08020fff, or its device tree blob, as QEMU"
                        + " -machine dumpdtb=FILE writes it."
            })
    private @Nullable String msi;

    @Mixin private final RingOption ring = new RingOption();

    @Option(
            names = "--viot",
            paramLabel = "FILE",
            description =
                    "Where to write the topology table (default: SOCKET.viot). Removed at the end.")
    private @Nullable Path viot;

    @Option(
            names = "--control",
            paramLabel = "SOCKET",
            description =
                    "Where `ioasis dump`, `check`, `inject` and `rogue` ask (default: "
                            + ServeConfig.CONTROL_NAME
                            + " beside the first socket).")
    private @Nullable Path control;

    @Mixin private final TraceOptions trace = new TraceOptions();
    @Mixin private final PageOption page = new PageOption();
    @Mixin private final MetricsOption metrics = new MetricsOption();

    @Mixin private final RecordOptions record = new RecordOptions();

    /** How much of what happens is said. */
    enum LogLevel {
        error(System.Logger.Level.ERROR),
        warning(System.Logger.Level.WARNING),
        info(System.Logger.Level.INFO),
        debug(System.Logger.Level.DEBUG);

        private final System.Logger.Level level;

        LogLevel(System.Logger.Level level) {
            this.level = level;
        }
    }

    @Option(
            names = "--log-level",
            paramLabel = "LEVEL",
            defaultValue = "info",
            description = {
                "${COMPLETION-CANDIDATES}: what is said on standard error, a line each: at info the sessions of VMMs, at"
                        + " warning who was refused and why, limits that were reached, devices that need a reset"
                        + " (default: ${DEFAULT-VALUE})."
            })
    private LogLevel logLevel = LogLevel.info;

    @Override
    public Integer call() throws IOException, InterruptedException {
        ServeConfig what;
        try {
            what = configuration();
        } catch (ConfigException e) {
            System.err.println(e.getMessage());
            return 2;
        }
        RecordConfig recorded = record.chosen(NAME);
        StandardErrorLog.level(logLevel.level);
        Server server = Server.start(what, recorded);
        page.serve(server);
        metrics.serve(server);
        if (what.trace() != null) {
            // Without a trace it ends a server as ever: of a terminal that is closed, for instance.
            new SignalHandlers().handle("HUP", _ -> server.reopenTrace());
        }
        // A signal is the way to end a server, so it is no failure: the JVM's own code for it would
        // be 128 and its number.
        Runtime.getRuntime()
                .addShutdownHook(
                        new Thread(
                                () -> {
                                    int code = 0;
                                    try {
                                        server.close();
                                    } catch (IOException e) {
                                        System.err.println("ioasis: " + e.getMessage());
                                        code = 1;
                                    }
                                    String recording = server.recorded();
                                    if (recording != null) {
                                        System.err.println("ioasis: " + recording);
                                    }
                                    System.out.flush();
                                    Runtime.getRuntime().halt(code);
                                },
                                "shutdown"));
        server.announcement().forEach(System.out::println);
        System.out.flush();
        new CountDownLatch(1).await();
        return 0;
    }

    private ServeConfig configuration() throws ConfigException, IOException {
        OptionalInt _ = metrics.chosen();
        OptionalInt _ = page.chosen();
        TraceConfig traced = trace.chosen();
        Path file = config;
        Path socket = iommu;
        if (file != null) {
            boolean isDescribed = !present.isEmpty();
            for (DeviceKind kind : Kinds.ALL) {
                isDescribed |= !devices(kind).isEmpty();
            }
            boolean isAttached = socket != null || isVhostUser;
            if (isAttached || isDescribed || viot != null || msi != null || ring.isPacked()) {
                throw new UsageException(
                        "--config describes everything: no --iommu, --vhost-user, %s, --present, --msi, --ring or --viot with it"
                                .formatted(options(", ")));
            }
            ServeConfig read = ConfigFile.read(file);
            return new ServeConfig(
                    read.machines(),
                    control == null ? read.control() : control,
                    traced == null ? read.trace() : traced);
        }
        if (socket == null) {
            throw new UsageException(
                    "what to serve: --config FILE, or --iommu SOCKET and " + options(" or "));
        }
        FlagConfig flags = FlagConfig.iommu(socket);
        Kinds.ALL.forEach(kind -> flags.devices(kind, devices(kind)));
        return flags.present(present)
                .msi(msi)
                .rings(ring.chosen())
                .transport(isVhostUser ? IommuTransport.VHOST_USER : IommuTransport.VFIO_USER)
                .viot(viot)
                .control(control)
                .trace(traced)
                .resolve();
    }

    /** An option for each kind of device. */
    static void addKinds(CommandSpec serve) {
        for (DeviceKind kind : Kinds.ALL) {
            serve.addOption(
                    OptionSpec.builder(option(kind))
                            .paramLabel(kind.optionLabel())
                            .description(kind.optionHelp().toArray(new String[0]))
                            .type(List.class)
                            .auxiliaryTypes(String.class)
                            .arity("1")
                            .build());
        }
    }

    private static String option(DeviceKind kind) {
        return "--" + kind.key();
    }

    private static String options(String between) {
        return Kinds.ALL.stream().map(ServeCommand::option).collect(joining(between));
    }

    /** What was given for the devices of one kind. */
    private List<String> devices(DeviceKind kind) {
        List<String> given = spec.findOption(option(kind)).getValue();
        return given == null ? List.of() : given;
    }
}
