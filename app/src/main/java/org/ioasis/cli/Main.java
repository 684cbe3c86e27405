// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.function.Supplier;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.sys.ErrnoException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ParameterException;

/**
 * The {@code ioasis} command: parses the arguments, hands over to one command class, and says in
 * one place what is wrong when that cannot go on. Runs on the main thread.
 */
@Command(
        name = "ioasis",
        description = "A virtual IOMMU in user space.",
        mixinStandardHelpOptions = true,
        version = "ioasis 0.1.0",
        subcommands = CommandLine.HelpCommand.class)
public final class Main {
    private static final int FAILED = 1;
    private static final int WRONG = 2;

    /** In the order of --help. */
    private static final Map<String, Supplier<Object>> COMMANDS = new LinkedHashMap<>();

    static {
        COMMANDS.put("demo", DemoCommand::new);
        COMMANDS.put("vm", VmCommand::new);
        COMMANDS.put(ServeCommand.NAME, ServeCommand::new);
        COMMANDS.put(HostCommand.NAME, HostCommand::new);
        COMMANDS.put("selftests", SelftestsCommand::new);
        COMMANDS.put("viot", ViotCommand::new);
        COMMANDS.put("devicetree", DeviceTreeCommand::new);
        COMMANDS.put("dump", AskCommand.Dump::new);
        COMMANDS.put("check", AskCommand.Check::new);
        COMMANDS.put("inject", AskCommand.Inject::new);
        COMMANDS.put("trace", RecordingCommand.Trace::new);
        COMMANDS.put("replay", RecordingCommand.Again::new);
        COMMANDS.put("rogue", AskCommand.Rogue::new);
    }

    private Main() {}

    public static void main(String[] args) {
        // Reading what all the others take costs more than most commands do.
        boolean isNamed = args.length > 0 && COMMANDS.containsKey(args[0]);
        CommandLine line = isNamed ? commandLine(List.of(args[0])) : commandLine();
        System.exit(checked(line.execute(args)));
    }

    /** A stream of Java's keeps what is wrong to itself: a full disk must not look like success. */
    private static int checked(int code) {
        if (System.out.checkError() && code == 0) {
            System.err.println("ioasis: standard output cannot be written");
            return FAILED;
        }
        return code;
    }

    /** The command with all its subcommands. */
    public static CommandLine commandLine() {
        CommandLine all = commandLine(COMMANDS.keySet());
        ServiceLoader.load(Subcommand.class).forEach(all::addSubcommand);
        return all;
    }

    private static CommandLine commandLine(Collection<String> names) {
        CommandLine all = new CommandLine(new Main());
        for (String name : names) {
            all.addSubcommand(name, requireNonNull(COMMANDS.get(name)).get());
        }
        CommandLine serve = all.getSubcommands().get(ServeCommand.NAME);
        if (serve != null) {
            ServeCommand.addKinds(serve.getCommandSpec());
        }
        CommandLine host = all.getSubcommands().get(HostCommand.NAME);
        if (host != null) {
            // What stands behind PROGRAM is PROGRAM's, as with env or strace.
            host.setStopAtPositional(true);
        }
        return all.setParameterExceptionHandler((wrong, _) -> refused(wrong))
                .setExecutionExceptionHandler((failure, command, _) -> failed(failure, command));
    }

    /** Where the usage is said, and what is wrong, last. */
    private static int refused(ParameterException wrong) {
        CommandLine command = wrong.getCommandLine();
        String name = command.getCommandSpec().qualifiedName();
        command.getErr()
                .printf(
                        "Usage: %s --help lists the options.%n%n%s: %s%s%n",
                        name,
                        name,
                        String.valueOf(wrong.getMessage())
                                .replaceFirst("' is not an? (?:int|long)$", "' is no number here"),
                        Spelling.hint(wrong));
        return WRONG;
    }

    /** A bug of ours goes on as an exception, which picocli prints with its stack trace. */
    private static int failed(Exception failure, CommandLine command) throws Exception {
        return switch (failure) {
            case UsageException wrong ->
                    refused(new ParameterException(command, wrong.getMessage()));
            case UnavailableException missing -> {
                command.getErr().println("ioasis: " + missing.getMessage());
                yield missing.exitCode();
            }
            case IOException broken -> {
                command.getErr().println("ioasis: " + inWords(broken));
                yield FAILED;
            }
            default -> throw failure;
        };
    }

    /** The message of some of these is the file's name and nothing else. */
    private static String inWords(IOException failure) {
        return switch (failure) {
            case NoSuchFileException missing -> missing.getFile() + ": no such file or folder";
            case AccessDeniedException denied -> denied.getFile() + ": permission denied";
            case NotDirectoryException other -> other.getFile() + ": not a folder";
            case FileAlreadyExistsException there -> there.getFile() + ": is there already";
            case ErrnoException refused -> refused.inWords();
            default -> String.valueOf(failure.getMessage());
        };
    }
}
