// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.util.ServiceLoader;
import org.ioasis.guestkit.UnavailableException;
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
        subcommands = {
            DemoCommand.class,
            VmCommand.class,
            ServeCommand.class,
            HostCommand.class,
            SelftestsCommand.class,
            ViotCommand.class,
            DeviceTreeCommand.class,
            AskCommand.Dump.class,
            AskCommand.Check.class,
            AskCommand.Inject.class,
            AskCommand.Rogue.class
        })
public final class Main {
    private static final int FAILED = 1;

    private Main() {}

    public static void main(String[] args) {
        System.exit(commandLine().execute(args));
    }

    /** The command with all its subcommands. */
    public static CommandLine commandLine() {
        CommandLine all = new CommandLine(new Main());
        CommandLine serve = requireNonNull(all.getSubcommands().get(ServeCommand.NAME));
        ServeCommand.addKinds(serve.getCommandSpec());
        // What stands behind PROGRAM is PROGRAM's, as with env or strace.
        requireNonNull(all.getSubcommands().get(HostCommand.NAME)).setStopAtPositional(true);
        ServiceLoader.load(Subcommand.class).forEach(all::addSubcommand);
        return all.setExecutionExceptionHandler((failure, command, _) -> failed(failure, command));
    }

    /** A bug of ours goes on as an exception, which picocli prints with its stack trace. */
    private static int failed(Exception failure, CommandLine command) throws Exception {
        return switch (failure) {
            case UsageException refused ->
                    command.getParameterExceptionHandler()
                            .handleParseException(
                                    new ParameterException(command, refused.getMessage()),
                                    new String[0]);
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
            default -> String.valueOf(failure.getMessage());
        };
    }
}
